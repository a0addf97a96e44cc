import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import type { Ring } from "../../src/engine/ops.ts";
import { UsageError } from "../../src/errors.ts";
import { chat } from "../../src/generation/chat.ts";
import type { GeneratedToken, GenerateOptions } from "../../src/generation/generate.ts";
import { load, Model } from "../../src/generation/model.ts";
import { PrefixCache } from "../../src/generation/prefix-cache.ts";
import { type Message, renderForCompletion, systemMessage } from "../../src/harmony/index.ts";

const model = await load(fileURLToPath(new URL("../../golden/small", import.meta.url)), { threads: 2 });
const tokenizer = model.requireTokenizer();
afterAll(() => model.close());

const MIB = 2 ** 20;
const options: GenerateOptions = { temperature: 1, seed: 3, maxTokens: 40, topLogprobs: 2, stopTokens: [] };

const ids = (count: number, salt = 0): number[] =>
  Array.from({ length: count }, (_, i) => (i * 31 + salt * 7) % 2000);

interface Outcome {
  tokens: GeneratedToken[];
  reused: number | undefined;
}

async function run(
  source: Model | PrefixCache,
  prompt: readonly number[],
  more: GenerateOptions = {},
): Promise<Outcome> {
  const outcome: Outcome = { tokens: [], reused: undefined };
  const onReuse = (tokens: number): void => {
    outcome.reused = tokens;
  };
  for await (const token of source.generate(prompt, { ...options, ...more, onReuse })) {
    outcome.tokens.push(token);
  }
  return outcome;
}

/** Generates with the cache and afresh: both must agree to the last bit. Returns how many tokens were reused. */
async function reuse(cache: PrefixCache, prompt: readonly number[], more: GenerateOptions = {}) {
  const { tokens, reused } = await run(cache, prompt, more);
  const fresh = await run(model, prompt, more);
  expect(fresh.reused).toBe(0);
  expect(tokens).toEqual(fresh.tokens);
  return reused;
}

test("a conversation's next turn starts where its last prompt ended", async () => {
  using cache = new PrefixCache(model, { bytes: 64 * MIB });
  const messages: Message[] = [systemMessage()];
  let previous = 0;
  for (const question of ["What is 47 + 38?", "Sort 45, 12, 99, 3.", "Which is larger, 347 or 352?"]) {
    messages.push({ role: "user", content: question });
    const prompt = renderForCompletion(tokenizer, messages);
    expect(await reuse(cache, prompt, { maxTokens: 150 })).toBe(previous);
    messages.push({ role: "assistant", channel: "final", content: "Something." });
    previous = prompt.length - 1;
  }
  expect(cache.sequences).toBe(1); // it went on with the same one
});

test("several answers to one question compute it once, also when they are asked for at once", async () => {
  using cache = new PrefixCache(model, { bytes: 64 * MIB });
  const outcomes = await Promise.all([1, 2, 3, 4].map((seed) => run(cache, ids(150), { seed })));
  expect(outcomes.map(({ reused }) => reused).sort()).toEqual([0, 149, 149, 149]);
  for (const [i, { tokens }] of outcomes.entries())
    expect(tokens).toEqual((await run(model, ids(150), { seed: i + 1 })).tokens);
  expect(await reuse(cache, ids(150), { seed: 5 })).toBe(149);
});

test("a prompt starts from one that is still being answered", async () => {
  using cache = new PrefixCache(model, { bytes: 64 * MIB });
  const running = cache.generate(ids(150), { ...options, maxTokens: 300 });
  for (let i = 0; i < 200; i++) await running.next(); // well beyond the window
  expect(await reuse(cache, [...ids(150), ...ids(10, 1)])).toBe(149);
  await running.return();
});

test("what two prompts share serves a third, wherever they part", async () => {
  using cache = new PrefixCache(model, { bytes: 64 * MIB });
  const preamble = ids(200);
  const prompts = [1, 2, 3, 4].map((salt) => [...preamble, ...ids(300, salt)]);
  const reused: unknown[] = [];
  for (const prompt of prompts) reused.push(await reuse(cache, prompt, { chunkSize: 64 }));
  expect(reused).toEqual([0, 0, 200, 200]);
});

test("positions asked for serve at once", async () => {
  using cache = new PrefixCache(model, { bytes: 64 * MIB });
  const prompts = [1, 2].map((salt) => [...ids(200), ...ids(300, salt)]);
  const more = { chunkSize: 64, checkpoints: [200] };
  expect(await reuse(cache, prompts[0]!, more)).toBe(0);
  expect(await reuse(cache, prompts[1]!, more)).toBe(200);
});

test("at the budget those go that were of use the longest ago", async () => {
  using probe = new PrefixCache(model, { bytes: 64 * MIB });
  await run(probe, ids(100));
  const each = probe.bytes;
  using cache = new PrefixCache(model, { bytes: each * 3.5 });
  for (const salt of [1, 2, 3]) await run(cache, ids(100, salt));
  expect(cache.sequences).toBe(3);
  expect(await reuse(cache, ids(100, 1))).toBe(99);
  await run(cache, ids(100, 4)); // in the place of 2
  expect(cache.bytes).toBeLessThanOrEqual(each * 3.5);
  expect(await reuse(cache, ids(100, 3))).toBe(99);
  expect(await reuse(cache, ids(100, 1))).toBe(99);
  expect(await reuse(cache, ids(100, 2))).toBe(0);
});

test("without a budget nothing stays, while what is under way still serves others", async () => {
  using cache = new PrefixCache(model, { bytes: 0 });
  const outcomes = await Promise.all([1, 2].map((seed) => run(cache, ids(150), { seed })));
  expect(outcomes.map(({ reused }) => reused).sort()).toEqual([0, 149]);
  expect(cache.bytes).toBe(0);
  expect(cache.sequences).toBe(0);
});

test("a generation that is dropped, aborted or wrong leaves nothing running, and no memory beyond the budget", async () => {
  using cache = new PrefixCache(model, { bytes: 0 });
  for await (const _ of cache.generate(ids(150), options)) break;
  expect(cache.sequences).toBe(0);
  const controller = new AbortController();
  const long = run(cache, ids(1500), { chunkSize: 16, signal: controller.signal });
  const waiting = run(cache, ids(1500), { chunkSize: 16, signal: controller.signal });
  const other = run(cache, ids(1500), { chunkSize: 16 });
  setTimeout(() => controller.abort(new Error("enough")), 20);
  await Promise.all([long, waiting].map((outcome) => expect(outcome).rejects.toThrow("enough")));
  await expect(run(cache, [-1])).rejects.toThrow(UsageError);
  await expect(run(cache, [])).rejects.toThrow(UsageError);
  expect((await other).tokens).toEqual((await run(model, ids(1500))).tokens);
  expect(cache.sequences).toBe(0);
  expect(() => new PrefixCache(model, { bytes: Number.NaN })).toThrow(UsageError);
});

test("what a dropped answer had computed serves the next", async () => {
  using cache = new PrefixCache(model, { bytes: 64 * MIB });
  for await (const { position } of cache.generate(ids(150), { ...options, maxTokens: 300 }))
    if (position > 350) break;
  expect(await reuse(cache, [...ids(150), 1])).toBe(149);
});

test("random conversations at once have the bits of fresh starts, and free all memory", async () => {
  const { ops } = model.transformer;
  const rings = new Set<Ring>();
  const [createRing, freeRing] = [ops.createRing, ops.freeRing];
  ops.createRing = async (...args) => {
    const ring = await createRing.apply(ops, args);
    rings.add(ring);
    return ring;
  };
  ops.freeRing = (ring) => {
    rings.delete(ring);
    freeRing.call(ops, ring);
  };
  // prompts that begin alike in many ways: each is a path through a few stems
  const prompt = fc
    .array(fc.tuple(fc.nat(2), fc.integer({ min: 1, max: 160 })), { minLength: 1, maxLength: 4 })
    .map((parts) => parts.flatMap(([salt, count]) => ids(count, salt)));
  const request = fc.record({
    prompt,
    pause: fc.nat(30),
    chunkSize: fc.constantFrom(7, 64, 512),
    maxTokens: fc.integer({ min: 1, max: 30 }),
    seed: fc.nat(3),
    leave: fc.constantFrom("end", "end", "drop", "abort"),
  });
  const fresh = new Model(model.checkpoint, model.transformer, tokenizer, model.defaults);
  await fc.assert(
    fc.asyncProperty(
      fc.array(request, { minLength: 2, maxLength: 8 }),
      fc.constantFrom(0, 1, 64),
      async (requests, mib) => {
        const cache = new PrefixCache(model, { bytes: mib * MIB });
        await Promise.all(
          requests.map(async ({ prompt, pause, leave, ...more }) => {
            for (let i = 0; i < pause; i++) await new Promise(setImmediate);
            const controller = new AbortController();
            const want = leave === "end" ? await run(fresh, prompt, more) : undefined;
            if (leave === "drop") {
              for await (const _ of cache.generate(prompt, { ...options, ...more })) break;
            } else if (leave === "abort") {
              setTimeout(() => controller.abort(), pause);
              await run(cache, prompt, { ...more, signal: controller.signal }).catch(() => {});
            } else expect((await run(cache, prompt, more)).tokens).toEqual(want!.tokens);
          }),
        );
        expect(cache.bytes).toBeLessThanOrEqual(mib * MIB);
        cache[Symbol.dispose]();
        await new Promise(setImmediate);
        expect(rings.size).toBe(0);
      },
    ),
    { numRuns: 8, seed: 5 },
  );
  Object.assign(ops, { createRing, freeRing });
});

test("it answers conversations as a model does", async () => {
  using cache = new PrefixCache(model, { bytes: 64 * MIB });
  const messages = [
    systemMessage({ reasoningEffort: "low" }),
    { role: "user", content: "What is 47 + 38?" },
  ] as const;
  const reused: number[] = [];
  for (let i = 0; i < 2; i++) {
    let answer = "";
    for await (const { header, delta } of chat(cache, messages, { onReuse: (tokens) => reused.push(tokens) }))
      if (header?.channel === "final") answer += delta;
    expect(answer).toContain("85");
  }
  expect(reused).toEqual([0, renderForCompletion(tokenizer, messages).length - 1]);
});

test("a closed one generates no more", async () => {
  const cache = new PrefixCache(model, { bytes: 64 * MIB });
  const running = cache.generate(ids(20), options);
  await running.next();
  cache[Symbol.dispose]();
  await expect(run(cache, ids(20))).rejects.toThrow(UsageError);
  await running.return();
  expect(cache.bytes).toBe(0);
});
