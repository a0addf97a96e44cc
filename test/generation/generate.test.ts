import { expect, test } from "vitest";
import { mapWeights } from "../../src/checkpoint/weights.ts";
import { ReferenceEngine } from "../../src/engine/reference/index.ts";
import { type GeneratedToken, type GenerateOptions, generate } from "../../src/generation/generate.ts";
import { logProbabilities } from "../../src/generation/sampler.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { randomWeights, TINY } from "../support/random-model.ts";

const engine = new ReferenceEngine("f32");
const model = new Transformer(
  TINY,
  await mapWeights(randomWeights(TINY, 5), (source) => engine.loadWeight(source)),
  engine,
);
const prompt = Array.from({ length: 20 }, (_, i) => (i * 7) % TINY.vocabSize);

async function run(options: GenerateOptions, from = prompt): Promise<GeneratedToken[]> {
  const tokens: GeneratedToken[] = [];
  for await (const token of generate(model, from, model.createCache(), undefined, {
    maxTokens: 12,
    ...options,
  })) {
    tokens.push(token);
  }
  return tokens;
}

const idsOf = (tokens: GeneratedToken[]): number[] => tokens.map(({ id }) => id);

test("greedy tokens are those of a pass over the whole sequence", async () => {
  const tokens = await run({ topLogprobs: 3 });
  const sequence = [...prompt, ...idsOf(tokens)];
  const { data } = engine.read(await model.forward(sequence, model.createCache()));
  for (const [i, token] of tokens.entries()) {
    const at = prompt.length - 1 + i;
    const row = data.slice(at * TINY.vocabSize, (at + 1) * TINY.vocabSize);
    const best = row.indexOf(Math.max(...row));
    expect(token).toMatchObject({ id: best, position: at + 1 });
    expect({ logprob: token.logprob, top: token.topLogprobs }).toEqual(logProbabilities(row, best, 3));
  }
  expect(tokens.map(({ finishReason }) => finishReason)).toEqual([
    ...new Array(11).fill(undefined),
    "length",
  ]);
});

test("sampled tokens don't depend on how the prompt is chunked, nor on what was cached before", async () => {
  const options = { temperature: 1.5, seed: 9 };
  const expected = idsOf(await run(options));
  expect(idsOf(await run({ ...options, chunkSize: 1 }))).toEqual(expected);
  expect(idsOf(await run({ ...options, chunkSize: 7 }))).toEqual(expected);
  expect(idsOf(await run({ ...options, seed: 10 }))).not.toEqual(expected);

  const continued = idsOf(await run(options, [...prompt, ...expected.slice(0, 5)]));
  expect(continued.slice(0, 7)).toEqual(expected.slice(5));
});

test("a stop token ends the generation and is yielded", async () => {
  const all = idsOf(await run({}));
  const stop = all[4]!;
  const tokens = await run({ stopTokens: [stop] });
  expect(idsOf(tokens)).toEqual(all.slice(0, all.indexOf(stop) + 1));
  expect(tokens.at(-1)!.finishReason).toBe("stop");
});

test("the context ends the generation", async () => {
  const full = new Array<number>(TINY.maxContextLength - 2).fill(1);
  const tokens = await run({ maxTokens: 100 }, full);
  expect(tokens).toHaveLength(2);
  expect(tokens.at(-1)).toMatchObject({ finishReason: "length", position: TINY.maxContextLength - 1 });
});

test("a prompt that the context can't hold is refused", async () => {
  const tooLong = new Array<number>(TINY.maxContextLength + 1).fill(1);
  await expect(run({}, tooLong)).rejects.toThrow(
    /longer than the model's context: expected at most 1024 tokens, found 1025/,
  );
});

test("logits can be adjusted", async () => {
  const only = (id: number) => (logits: Float32Array | Float64Array) => {
    const kept = logits[id]!;
    logits.fill(Number.NEGATIVE_INFINITY)[id] = kept;
  };
  expect(idsOf(await run({ adjustLogits: only(17), maxTokens: 3 }))).toEqual([17, 17, 17]);
});

test("an abort signal rejects the step with its reason", async () => {
  const controller = new AbortController();
  const seen: number[] = [];
  const consume = async (): Promise<void> => {
    const stream = generate(model, prompt, model.createCache(), undefined, { signal: controller.signal });
    for await (const token of stream) {
      seen.push(token.id);
      if (seen.length === 3) controller.abort(new Error("enough"));
    }
  };
  await expect(consume()).rejects.toThrow("enough");
  expect(seen).toHaveLength(3);
});

test("progress of the prefill is told by chunks", async () => {
  const progress: number[][] = [];
  await run({ chunkSize: 8, maxTokens: 2, onPrefill: (done, total) => progress.push([done, total]) });
  expect(progress).toEqual([
    [8, 20],
    [16, 20],
    [20, 20],
  ]);
});

test.each([{ maxTokens: 0 }, { maxTokens: Number.NaN }, { chunkSize: 0 }, { stop: ["x"] }])(
  "options that can't be followed are refused: %o",
  async (options) => {
    await expect(run(options)).rejects.toThrow(/out of range|need a tokenizer/);
  },
);

test("a sampler of the caller's chooses in place of ours, from logits that are its own", async () => {
  const plain = await run({ topLogprobs: 2 });
  const seen: number[] = [];
  const second = await run({
    topLogprobs: 2,
    maxTokens: 1,
    adjustLogits: (logits) => logits.fill(Number.NEGATIVE_INFINITY, 0, 1),
    sampler: (logits, position) => {
      seen.push(position, logits[0]!);
      const best = logits.indexOf(Math.max(...logits));
      logits[best] = Number.NEGATIVE_INFINITY;
      return logits.indexOf(Math.max(...logits));
    },
  });
  expect(seen).toEqual([prompt.length, Number.NEGATIVE_INFINITY]);
  expect(second[0]).toMatchObject(plain[0]!.topLogprobs[1]!);
  expect(second[0]!.topLogprobs).toEqual(plain[0]!.topLogprobs);
});

test.each([-1, 0.5, Number.NaN, TINY.vocabSize, 3])(
  "a sampler can't choose %d if that isn't allowed",
  async (id) => {
    const adjustLogits: GenerateOptions["adjustLogits"] = (logits) =>
      void logits.fill(Number.NEGATIVE_INFINITY, 3, 4);
    await expect(run({ adjustLogits, sampler: () => id })).rejects.toThrow("no token that is allowed");
  },
);
