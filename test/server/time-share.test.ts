import { expect, test, vi } from "vitest";
import { TimeShare } from "../../src/server/time-share.ts";
import type { Steps } from "../../src/tokenizer/steps.ts";
import { scriptedModel } from "../support/scripted-model.ts";
import { listen, MODEL, post } from "./support.ts";

const signal = new AbortController().signal;

/** Work of so many steps of a thousand characters, which tells a log of each. */
function* work(name: string, steps: number, log: string[]): Steps<string> {
  for (let i = 0; i < steps; i++) {
    yield 1000;
    log.push(name);
    const until = performance.now() + 1;
    while (performance.now() < until);
  }
  return name;
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("long work lets the event loop go round, and short work of others get ahead of it", async () => {
  const share = new TimeShare(8);
  const log: string[] = [];
  const long = share.run(work("long", 100, log), signal);
  await turn();
  await turn();
  expect(await share.run(work("short", 2, log), signal)).toBe("short");
  expect(await long).toBe("long");
  expect(log.lastIndexOf("short")).toBeLessThan(log.lastIndexOf("long"));
});

test("long works come one after the other, and no more wait than may", async () => {
  const share = new TimeShare(2);
  const log: string[] = [];
  const works = ["a", "b", "c"].map((name) => share.run(work(name, 40, log), signal));
  const [a, b, c] = await Promise.allSettled(works);
  expect([a?.status, b?.status]).toEqual(["fulfilled", "fulfilled"]);
  expect(c).toMatchObject({ status: "rejected", reason: { status: 429 } });
  expect(log.lastIndexOf("a")).toBeLessThan(log.lastIndexOf("b"));
  expect(log.slice(log.indexOf("b", log.lastIndexOf("a")))).not.toContain("a");
  expect(await share.run(work("d", 40, log), signal)).toBe("d");
});

test("work that nobody waits for any more ends, and the next has its turn", async () => {
  const share = new TimeShare(2);
  const abort = new AbortController();
  const log: string[] = [];
  const left = share.run(work("left", 10_000, log), abort.signal);
  const next = share.run(work("next", 40, log), signal);
  await turn();
  abort.abort(new Error("gone"));
  await expect(left).rejects.toThrow("gone");
  expect(await next).toBe("next");
});

test.each([
  ["chat/completions", { messages: [{ role: "user", content: "a".repeat(1e5) }] }],
  ["completions", { prompt: ["a".repeat(1e5)] }],
  ["responses", { input: "a".repeat(1e5) }],
  ["responses", { input: "a".repeat(1e5), truncation: "auto" }],
])("%s: a long prompt is encoded a little at a time", async (route, body) => {
  await using running = await listen(scriptedModel([""], 4096).model);
  const run = vi.spyOn(running.server.context.timeShare, "run");
  const { status } = await post(`${running.url}/v1/${route}`, { model: MODEL, ...body });
  expect(status).toBe(400); // since it is too long, which takes all of the work to find out
  expect(run).toHaveBeenCalledTimes(1);
});
