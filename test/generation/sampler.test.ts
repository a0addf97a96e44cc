import fc from "fast-check";
import { expect, test } from "vitest";
import { threefry2x32, uniform } from "../../src/generation/random.ts";
import {
  argmax,
  logProbabilities,
  type SamplingOptions,
  sample,
  softmaxOf,
} from "../../src/generation/sampler.ts";

// Known answers of Random123 (kat_vectors: threefry2x32, 20 rounds)
test.each([
  [
    [0, 0],
    [0, 0],
    [0x6b200159, 0x99ba4efe],
  ],
  [
    [0xffffffff, 0xffffffff],
    [0xffffffff, 0xffffffff],
    [0x1cb996fc, 0xbb002be7],
  ],
  [
    [0x13198a2e, 0x03707344],
    [0x243f6a88, 0x85a308d3],
    [0xc4923a9c, 0x483df7a0],
  ],
] as [[number, number], [number, number], [number, number]][])(
  "threefry2x32 known answer %#",
  (key, counter, expected) => {
    expect(threefry2x32(key, counter)).toEqual(expected);
  },
);

test("draws depend on seed and position, both halves of the seed included, and are uniform", () => {
  expect(uniform(1, 2)).not.toBe(uniform(1, 3));
  expect(uniform(1, 2)).not.toBe(uniform(2, 2));
  expect(uniform(2 ** 40, 2)).not.toBe(uniform(2 ** 41, 2));
  expect(uniform(-1, 2)).not.toBe(uniform(1, 2));
  const bins = new Array<number>(16).fill(0);
  for (let i = 0; i < 16000; i++) bins[Math.floor(uniform(7, i) * 16)]!++;
  for (const count of bins) expect(Math.abs(count - 1000)).toBeLessThan(150);
});

const logits = Float32Array.from([0.5, 0.1, 0.2, 0.15, 0.05], Math.log);

/** Frequencies of the ids over many positions. */
function frequencies(options: SamplingOptions): number[] {
  const counts = new Array<number>(logits.length).fill(0);
  for (let position = 0; position < 8000; position++) counts[sample(logits, position, options)]!++;
  return counts.map((count) => count / 8000);
}

function expectClose(actual: number[], expected: number[]): void {
  for (const [id, p] of expected.entries()) expect(Math.abs(actual[id]! - p), `id ${id}`).toBeLessThan(0.025);
}

test("temperature 0 is greedy, ties go to the lower id", () => {
  expect(sample([1, 3, 3, 2], 0)).toBe(1);
  expect(sample(logits, 5, { temperature: 0 })).toBe(0);
});

test("temperature 1 draws from the softmax", () => {
  expectClose(frequencies({ temperature: 1 }), [0.5, 0.1, 0.2, 0.15, 0.05]);
});

test("temperature divides the logits", () => {
  const squares = [0.25, 0.01, 0.04, 0.0225, 0.0025];
  const total = squares.reduce((a, b) => a + b);
  expectClose(
    frequencies({ temperature: 0.5 }),
    squares.map((p) => p / total),
  );
});

test("top-k keeps the k most probable", () => {
  expectClose(frequencies({ temperature: 1, topK: 2 }), [5 / 7, 0, 2 / 7, 0, 0]);
});

test("top-p keeps the shortest prefix that reaches p", () => {
  expectClose(frequencies({ temperature: 1, topP: 0.7 }), [5 / 7, 0, 2 / 7, 0, 0]);
  expectClose(frequencies({ temperature: 1, topP: 0.71 }), [0.5 / 0.85, 0, 0.2 / 0.85, 0.15 / 0.85, 0]);
  expectClose(frequencies({ temperature: 1, topP: 1e-9 }), [1, 0, 0, 0, 0]);
});

test("top-p counts what top-k left", () => {
  // after top-k 3: 0.588, 0.235, 0.176
  expectClose(frequencies({ temperature: 1, topK: 3, topP: 0.8 }), [5 / 7, 0, 2 / 7, 0, 0]);
});

test("min-p is relative to the most probable token", () => {
  expectClose(frequencies({ temperature: 1, minP: 0.29 }), [0.5 / 0.85, 0, 0.2 / 0.85, 0.15 / 0.85, 0]);
});

test("a seed reproduces the draws, another changes them", () => {
  const draws = (seed: number): number[] =>
    Array.from({ length: 50 }, (_, position) => sample(logits, position, { temperature: 1, seed }));
  expect(draws(3)).toEqual(draws(3));
  expect(draws(3)).not.toEqual(draws(4));
});

test("forbidden tokens are never drawn", () => {
  const masked = [0, Number.NEGATIVE_INFINITY, 0];
  for (let position = 0; position < 200; position++)
    expect(sample(masked, position, { temperature: 2 })).not.toBe(1);
  expect(sample([0, Number.POSITIVE_INFINITY, 1], 0, { temperature: 1 })).toBe(1);
  expect(() => sample([Number.NEGATIVE_INFINITY], 0)).toThrow(/no token is allowed/);
  expect(() => argmax([0, Number.NaN])).toThrow(/not a number \(token id 1\)/);
});

test.each([
  { temperature: -1 },
  { temperature: Number.NaN },
  { topK: 1.5 },
  { topP: 0 },
  { topP: 1.1 },
  { minP: -0.1 },
  { seed: 0.5 },
])("options out of range are refused: %o", (options) => {
  expect(() => sample(logits, 0, options)).toThrow(/out of range/);
});

test("log-probabilities are those of the softmax, in descending order", () => {
  const { logprob, top } = logProbabilities(logits, 3, 2);
  expect(logprob).toBeCloseTo(Math.log(0.15), 6);
  expect(top.map(({ id }) => id)).toEqual([0, 2]);
  expect(Math.exp(top[0]!.logprob)).toBeCloseTo(0.5, 6);
});

test("a logit that is no number is an error wherever the softmax comes from", () => {
  const nan = Float32Array.of(0, Number.NaN);
  expect(() => logProbabilities(nan, 0, 0)).toThrow("not a number");
  expect(() => softmaxOf({ max: Number.NaN, weights: new Float64Array(2), total: 0 })).toThrow(
    "not a number",
  );
});

/** As the options' documentation has it: all tokens sorted, and cut three times. */
function bySorting(logits: readonly number[], position: number, options: Required<SamplingOptions>): number {
  const { temperature, topK, topP, minP, seed } = options;
  const max = Math.max(...logits);
  const sum = (tokens: readonly { weight: number }[]) => tokens.reduce((a, { weight }) => a + weight, 0);
  let tokens = logits
    .map((logit, id) => ({ id, weight: Math.exp((logit - max) / temperature) }))
    .sort((a, b) => b.weight - a.weight || a.id - b.id);
  if (topK > 0) tokens = tokens.slice(0, topK);
  if (topP < 1) {
    const enough = topP * sum(tokens);
    const last = tokens.findIndex((_, i) => sum(tokens.slice(0, i + 1)) >= enough);
    tokens = tokens.slice(0, last < 0 ? tokens.length : last + 1);
  }
  tokens = tokens.filter(({ weight }) => weight >= minP);
  const target = uniform(seed, position) * sum(tokens);
  return tokens.find((_, i) => sum(tokens.slice(0, i + 1)) > target)!.id;
}

test("what is kept and drawn is what sorting all tokens gives, ties and far tails included", () => {
  // one large logit and many that together weigh as much, or hardly anything
  const others = (logit: fc.Arbitrary<number>) => fc.array(logit, { maxLength: 60 });
  const vocabulary = fc
    .oneof(
      others(fc.double({ min: -60, max: -0.01, noNaN: true })),
      others(fc.double({ min: -7, max: -3, noNaN: true })),
      others(fc.integer({ min: -6, max: -2 })),
    )
    .map((logits) => [...logits, 0]);
  const options = fc.record({
    temperature: fc.double({ min: 0.05, max: 4, noNaN: true }),
    topK: fc.nat(70),
    topP: fc.double({ min: 0.001, max: 1, noNaN: true }),
    minP: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
    seed: fc.nat(),
  });
  fc.assert(
    fc.property(vocabulary, options, fc.nat(1000), (logits, o, position) => {
      // with top-k off, the whole vocabulary is drawn from in the order of ids
      fc.pre(o.topK > 0 || o.topP < 1 || o.minP > 0);
      expect(sample(logits, position, o)).toBe(bySorting(logits, position, o));
    }),
    { seed: 13, numRuns: 500 },
  );
});
