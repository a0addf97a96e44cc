import { connect } from "node:net";
import OpenAI from "openai";
import { expect, test, vi } from "vitest";
import { limitTokens } from "../../src/tokenizer/limit.ts";
import { scriptedServer } from "../support/api-client.ts";
import { scriptedModel, tokenizer } from "../support/scripted-model.ts";
import { listen, MODEL, post, until } from "./support.ts";

const CHAT = { model: MODEL, messages: [{ role: "user", content: "?" }] };
const { model } = scriptedModel([""]);

test.each([
  ["chat/completions", { ...CHAT, messages: Array(500_000).fill(1) }, "invalid_json"],
  ["responses", { input: Array(500_000).fill(1) }, "invalid_json"],
  ["completions", { model: MODEL, prompt: [...Array(100_000).fill(1), "a"] }, "invalid_value"],
  ["completions", { model: MODEL, prompt: Array(2000).fill("a") }, "invalid_value"],
])("%s: values without end are refused ahead of a report on each of them", async (route, body, code) => {
  await using running = await listen(model);
  const response = await post(`${running.url}/v1/${route}`, body);
  expect(response.status).toBe(400);
  expect((await response.json()) as object).toMatchObject({ error: { code } });
});

test("more choices than can ever be admitted are a 400, which no retry makes better", async () => {
  await using running = await listen(model, { parallel: 1, queue: 1 });
  const response = await post(`${running.url}/v1/chat/completions`, { ...CHAT, n: 3 });
  expect(response.status).toBe(400);
  expect((await response.json()) as object).toMatchObject({ error: { param: "n" } });
});

test.each([
  ["of a length", "Content-Length: 100\r\n\r\n{"],
  ["in chunks", "Transfer-Encoding: chunked\r\n\r\n5\r\n{    \r\n"],
])("a client that goes away in the middle of a body %s is no internal error", async (_, rest) => {
  await using running = await listen(model);
  const { hostname, port } = new URL(running.url);
  const socket = connect(Number(port), hostname);
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\n${rest}`,
  );
  await new Promise((resolve) => setTimeout(resolve, 50));
  socket.destroy();
  await until(() => running.log.length > 0);
  expect(running.log.join("\n")).not.toContain("internal error");
  expect(running.log.join("\n")).not.toContain(" 500 ");
});

test("a text that can't fit is refused without being encoded", () => {
  const encodeSteps = vi.fn(tokenizer.encodeSteps);
  const limited = limitTokens({ ...tokenizer, encodeSteps }, 1000, () => {
    throw new Error("too long");
  });
  expect(limited.encode("some words")).toEqual(tokenizer.encode("some words"));
  encodeSteps.mockClear();
  for (const text of ["word ".repeat(2000), " ".repeat(1000 * 200)])
    expect(() => limited.encode(text)).toThrow("too long");
  expect(encodeSteps).not.toHaveBeenCalled();
  expect(() => {
    for (;;) limited.encode("some words");
  }).toThrow("too long");
});

test.each(["", "a", "  \n\n x", "naïve 😀 漢字", "1234567", "\ud800"])(
  "%j has at least so many tokens",
  (text) => {
    expect(tokenizer.atLeast(text, 100)).toBeLessThanOrEqual(tokenizer.encode(text).length);
  },
);

test("each key sees its own responses, and nobody else's", async () => {
  const hello = "<|channel|>final<|message|>Hello.<|return|>";
  const { server } = scriptedServer([hello], { apiKeys: ["one", "two"] });
  const fetch = (url: string | URL | Request, init?: RequestInit) => server.fetch(new Request(url, init));
  const clientOf = (apiKey: string) =>
    new OpenAI({ baseURL: "http://localhost/v1", apiKey, fetch, maxRetries: 0 });
  const [one, two] = [clientOf("one"), clientOf("two")];
  const { id, output } = await one.responses.create({ model: "scripted", input: "Hi" });
  expect((await one.responses.retrieve(id)).id).toBe(id);
  const missing = { status: 404 };
  await expect(two.responses.retrieve(id)).rejects.toMatchObject(missing);
  await expect(two.responses.inputItems.list(id)).rejects.toMatchObject(missing);
  await expect(two.responses.cancel(id)).rejects.toMatchObject(missing);
  await expect(two.responses.delete(id)).rejects.toMatchObject(missing);
  await expect(
    two.responses.create({ model: "scripted", input: "Go on", previous_response_id: id }),
  ).rejects.toMatchObject({ status: 400, code: "previous_response_not_found" });
  await expect(
    two.responses.create({ model: "scripted", input: [{ type: "item_reference", id: output[0]!.id! }] }),
  ).rejects.toMatchObject({ status: 400, param: "input[0].id" });
  expect((await one.responses.retrieve(id)).id).toBe(id);
});
