import { expect, test } from "vitest";
import type { GeneratedToken, GenerateOptions, TokenSource } from "../../src/index.ts";
import { harmonyIds, scriptedModel, tokenizer } from "../support/scripted-model.ts";
import { listen, MODEL, post, until } from "./support.ts";

const { model } = scriptedModel([""]);
const CHAT = { model: MODEL, messages: [{ role: "user", content: "?" }] } as const;

/** Writes words without end, or up to `length`, and fails there if it is told to. */
class Endless implements TokenSource {
  begun = 0;
  active = 0;
  tokens = 0;
  readonly #length: number;
  readonly #failure: Error | undefined;

  constructor(length: number = Number.POSITIVE_INFINITY, failure?: Error) {
    this.#length = length;
    this.#failure = failure;
  }

  requireTokenizer() {
    return tokenizer;
  }

  async *generate(
    _prompt: readonly number[],
    { signal }: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken> {
    this.begun++;
    this.active++;
    try {
      const opening = harmonyIds("<|channel|>final<|message|>");
      const [word] = tokenizer.encode(" word");
      for (let i = 0; ; i++) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        signal?.throwIfAborted();
        this.tokens++;
        const id =
          i < opening.length ? opening[i]! : i < this.#length ? word! : tokenizer.specialId("<|return|>");
        if (i >= this.#length && this.#failure) throw this.#failure;
        const finishReason = i < this.#length ? {} : { finishReason: "stop" as const };
        yield { id, logprob: 0, text: "", position: i, topLogprobs: [], ...finishReason };
        if (i >= this.#length) return;
      }
    } finally {
      this.active--;
    }
  }
}

async function stopped(source: Endless): Promise<void> {
  await until(() => source.active === 0);
  const { tokens } = source;
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(source.tokens).toBe(tokens);
}

test("a client that goes away in a stream stops the work", async () => {
  const source = new Endless();
  await using running = await listen(model, { source });
  const stream = await running.client.chat.completions.create({ ...CHAT, n: 2, stream: true } as never);
  let pieces = 0;
  for await (const _ of stream as unknown as AsyncIterable<unknown>) if (++pieces > 10) break;
  await stopped(source);
  expect(source.begun).toBe(2);
  await until(() => running.log.length > 0);
  expect(running.server.context.admission.running).toBe(0);
});

test("a client that goes away while it waits for the whole answer stops the work", async () => {
  const source = new Endless();
  await using running = await listen(model, { source });
  const abort = new AbortController();
  const answer = running.client.chat.completions.create(CHAT as never, { signal: abort.signal });
  await until(() => source.tokens > 5);
  abort.abort();
  await expect(answer).rejects.toThrow();
  await stopped(source);
  await until(() => running.log.length > 0);
  expect(running.log).toEqual([expect.stringContaining(" 499 ")]); // and no internal error
});

test("a client that goes away while it waits for its turn never begins", async () => {
  const source = new Endless();
  await using running = await listen(model, { source, parallel: 1 });
  const { admission } = running.server.context;
  const first = new AbortController();
  const second = new AbortController();
  const answers = [first, second].map(({ signal }) =>
    running.client.chat.completions.create({ ...CHAT, stream: signal === second.signal } as never, {
      signal,
    }),
  );
  const failures = Promise.allSettled(answers);
  await until(() => source.tokens > 0 && admission.queued === 1);
  second.abort();
  await until(() => admission.queued === 0);
  first.abort();
  await failures;
  await stopped(source);
  expect(source.begun).toBe(1);
});

test("a full server answers 429 with Retry-After, and takes requests again when there is room", async () => {
  const source = new Endless();
  await using running = await listen(model, { source, parallel: 1, queue: 0 });
  const abort = new AbortController();
  const answer = running.client.chat.completions.create(CHAT as never, { signal: abort.signal });
  const failure = expect(answer).rejects.toThrow();
  await until(() => source.active === 1);
  const refused = await post(`${running.url}/v1/chat/completions`, CHAT);
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(await refused.json()).toMatchObject({ error: { type: "rate_limit_exceeded" } });
  abort.abort();
  await failure;
  await stopped(source);
  expect(
    (await post(`${running.url}/v1/chat/completions`, { ...CHAT, max_tokens: 1, stream: true })).status,
  ).toBe(200);
});

test("closing lets answers under way end, and takes no more", async () => {
  const source = new Endless(100);
  await using running = await listen(model, { source });
  const answer = running.client.chat.completions.create(CHAT as never);
  await until(() => source.tokens > 0);
  const closed = running.server.close(60);
  expect((await fetch(`${running.url}/health`)).status).toBe(503);
  expect((await post(`${running.url}/v1/chat/completions`, CHAT)).status).toBe(503);
  expect((await answer).choices[0]!.message.content).toContain(" w w");
  await closed;
});

test("after the grace period, streams end with an error that OpenAI's client throws", async () => {
  const source = new Endless();
  await using running = await listen(model, { source });
  const stream = await running.client.chat.completions.create({ ...CHAT, stream: true } as never);
  const reading = (async () => {
    for await (const _ of stream as unknown as AsyncIterable<unknown>);
  })();
  const failure = expect(reading).rejects.toThrow("shutting down");
  await until(() => source.tokens > 5);
  await running.server.close(0);
  await failure;
  await stopped(source);
});

test("an internal error is told without its message, in a stream and out of it, and logged", async () => {
  const source = new Endless(5, new Error("secret path /etc/x"));
  await using running = await listen(model, { source });
  const whole = await post(`${running.url}/v1/chat/completions`, CHAT);
  expect(whole.status).toBe(500);
  const text =
    (await whole.text()) +
    (await (await post(`${running.url}/v1/chat/completions`, { ...CHAT, stream: true })).text());
  expect(text).not.toContain("secret");
  expect(text.match(/"type":"server_error"/g)).toHaveLength(2);
  expect(text).not.toContain("[DONE]");
  expect(running.log.filter((line) => line.includes("internal error"))).toHaveLength(2);
});

test("a connection waits for its next request longer than clients do", async () => {
  await using running = await listen(model, { source: new Endless() });
  const { headers } = await fetch(`${running.url}/health`);
  expect(headers.get("keep-alive")).toBe("timeout=75");
});
