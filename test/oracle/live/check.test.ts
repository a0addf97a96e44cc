import { afterAll, describe, expect, it } from "vitest";
import { register } from "../../../src/cli/check.ts";
import { run } from "../../cli/run.ts";
import { listen, MODEL, small } from "../../server/support.ts";
import { fakeServer } from "./fake-server.ts";

afterAll(() => small.close());

describe("gpt-oss check", () => {
  it("finds nothing wrong with our own server", async () => {
    await using running = await listen(small, { today: () => new Date().toISOString().slice(0, 10) });
    const report = JSON.parse(await run(register, "check", running.url, "--threads", "1", "--json"));
    expect(report.cases.filter(({ status }: { status: string }) => status === "failed")).toEqual([]);
    expect(report).toMatchObject({ ok: true, model: MODEL, scoring: { way: "echo", top: 5 } });
    expect(report.agreement).toMatchObject({ verdict: "agrees", dialect: "int16", noiseDialect: "int8" });
    expect(report.agreement.theirs.flips).toBe(0);
    expect(report.agreement.theirs.kl).toBeLessThan(1e-12);
    expect(process.exitCode).toBeUndefined();
  });
  it("says what a server doesn't offer, which is no failure", async () => {
    await using server = await fakeServer({});
    const args = ["check", server.url, "--served-name", "m"];
    const text = await run(register, ...args);
    expect(text).toMatch(
      /Log-probabilities: not offered\.\n {2}\/v1\/completions of token ids with echo: the server/,
    );
    expect(text).toMatch(/^channels +not offered +the server refuses .*status 404, not here/m);
    expect(JSON.parse(await run(register, ...args, "--json"))).toMatchObject({ ok: true });
  });
  it("ends with status 1 where something failed", async () => {
    await using server = await fakeServer({
      "/v1/models": () => ({ data: [{ id: "m" }] }),
      "/v1/chat/completions": () => ({
        choices: [{ message: { content: "<|end|>" }, finish_reason: "stop" }],
      }),
    });
    try {
      const text = await run(register, "check", server.url);
      expect(text).toMatch(/Likely causes:\n(.*\n)* {2}channels: The answer isn't parsed as Harmony/);
      expect(process.exitCode).toBe(1);
    } finally {
      process.exitCode = undefined;
    }
  });
  it("prints how likely the texts are, with their ids", async () => {
    const found = JSON.parse(await run(register, "check", "--reference", "--threads", "1", "--json"));
    expect(found).toMatchObject({ version: 1, dialect: "int16" });
    expect(found.texts.map(({ ids }: { ids: number[] }) => ids.length)).toEqual([185, 301, 234, 589]);
    expect(found.likelihoods).toHaveLength(4);
  });
  it.each([
    [[], /needs the address of a server, or --reference/],
    [["http://127.0.0.1:1", "--reference"], /needs the address of a server, or --reference/],
    [["http://127.0.0.1:1"], /can't speak with the server .*(bad port|ECONNREFUSED)/],
    [["nonsense"], /not the address of a server/],
  ])("refuses %j", async (args, message) => {
    await expect(run(register, "check", ...args)).rejects.toThrow(message);
  });
});
