import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { knownBugsPage } from "../../scripts/mutants/page.ts";
import type { LinearSource } from "../../src/checkpoint/weights.ts";
import type { ModelConfig } from "../../src/config.ts";
import type { HostTensor } from "../../src/engine/ops.ts";
import { UsageError } from "../../src/errors.ts";
import { inverseFrequencies, ropeTable } from "../../src/model/rope.ts";
import type { DialectName } from "../../src/numerics/dialects.ts";
import { diagnose, Laboratory } from "../../src/oracle/diagnose.ts";
import { MUTANTS, type Mutant, mutantsMatching } from "../../src/oracle/mutants/index.ts";
import { type Change, changedRows, everyLayer, override } from "../../src/oracle/mutants/mutant.ts";
import { promptToShowAll, tokensToShowAll } from "../../src/oracle/mutants/prompt.ts";
import { rowDistances, rowsOf } from "../../src/oracle/mutants/rows.ts";
import { MutantRunner } from "../../src/oracle/mutants/runner.ts";
import { randomWeights, TINY } from "../support/random-model.ts";

/** A shape on which every mutant differs: a square down projection, heads wider than the stream, a base that is nobody's. */
const config: ModelConfig = {
  ...TINY,
  vocabSize: 96,
  intermediateSize: 64,
  numExperts: 10,
  expertsPerToken: 4,
  headDim: 32,
  rope: { ...TINY.rope, theta: 20000, factor: 32 },
};
const weights = everyLayer(randomWeights(config), ({ attn, moe: { gateUp, down, ...moe } }) => ({
  attn,
  moe: { ...moe, gateUp: variedScales(gateUp), down: variedScales(down) },
}));
const subject = { config, weights };
const ids = Array.from({ length: 24 }, (_, i) => (i * i * 11 + 3 * i + 5) % config.vocabSize);

function variedScales({ weight, bias }: LinearSource): LinearSource {
  const varied = changedRows(weight, (rows, _, first) => ({
    ...rows,
    scales: rows.scales!.map((scale, i) => scale + ((first + i) % 3) - 1),
  }));
  return { weight: varied, bias };
}

/** Less than anything measures: an overflow that isn't reached, a rounding that float32 doesn't do, sigmoid(−12) beside 0. */
const WITHOUT_EFFECT = ["float16-saturated", "norm-rounded-before-scale", "swiglu-gate-clamped-below"];
const EFFECTIVE = MUTANTS.filter(({ name }) => !WITHOUT_EFFECT.includes(name));

let runner: MutantRunner;
let laboratory: Laboratory;
beforeAll(() => {
  runner = new MutantRunner(subject);
  laboratory = new Laboratory(subject, ids);
});
afterAll(async () => {
  await runner[Symbol.asyncDispose]();
  await laboratory[Symbol.asyncDispose]();
});

const logitsOf = (changes: readonly Change[] = [], dialect: DialectName = "f32"): Promise<HostTensor> =>
  runner.logits(ids, dialect, changes);

const named = (name: string): Mutant => MUTANTS.find((mutant) => mutant.name === name)!;

async function strays(changes: readonly Change[], dialect: DialectName = "f32"): Promise<Float64Array> {
  const rows = async (c: readonly Change[]) =>
    rowsOf(await logitsOf(c, dialect), ids.length, config.vocabSize);
  const correct = await rows([]);
  const norms = rowDistances(correct);
  return rowDistances(await rows(changes), correct).map((d, t) => d / norms[t]!);
}

test("names of bugs are unique, and each says what is wrong, who had it and what to do", () => {
  expect(MUTANTS.length).toBeGreaterThan(100);
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  for (const { description, seen, fix } of MUTANTS) {
    expect(description).toMatch(/^[^.].*\.$/);
    expect(fix).toMatch(/\.$/);
    expect(seen).toMatch(/^.+[^.]$/);
  }
});

test("the page of known bugs is what the library says (npx tsx scripts/mutants/list.ts)", async () => {
  expect(await readFile(new URL("../../docs/known-bugs.md", import.meta.url), "utf8")).toBe(knownBugsPage());
});

test.each(EFFECTIVE.map((mutant) => [mutant.name, mutant] as const))(
  "%s changes logits from the position on that it says",
  async (_name, { from, change }) => {
    const errors = await strays([change]);
    expect(errors.findIndex((error) => error > 2e-6)).toBe(from?.(config) ?? 0);
  },
);

test.each(WITHOUT_EFFECT)("%s changes nothing that can be measured here", async (name) => {
  expect(Math.max(...(await strays([named(name).change])))).toBeLessThan(1e-4);
});

test.each(EFFECTIVE.map((mutant) => [mutant.name, mutant] as const))(
  "%s is found from logits alone",
  async (name, mutant) => {
    const { verdict, bugs } = await diagnose(laboratory, await logitsOf([mutant.change]));
    expect(verdict).toBe("bug");
    expect(bugs.map((members) => members.map((m) => m.name).join())).toContain(name);
    expect(bugs.length).toBeLessThanOrEqual(3);
  },
);

test("mutants change the SIMD engine as they change the reference", async () => {
  for (const mutant of mutantsMatching(
    "window-*,mask-*,sinks-*,heads-*,rope-interleaved,router-ids-sorted,logits-*",
  )) {
    const rows = async (dialect: DialectName) =>
      rowsOf(await logitsOf([mutant.change], dialect), ids.length, config.vocabSize);
    const [simd, reference] = [await rows("int16"), await rows("f32")];
    const norms = rowDistances(reference);
    const errors = rowDistances(simd, reference).map((d, t) => d / norms[t]!);
    expect(errors.filter((error) => error > 1e-2).length, mutant.name).toBeLessThanOrEqual(2); // near ties of the router
  }
});

describe("a correct run is never blamed", () => {
  test.each(["f64", "f32", "int16", "int8", "bf16-openai", "bf16-hf"] as const)("in %s", async (dialect) => {
    expect(await diagnose(laboratory, await logitsOf([], dialect))).toMatchObject({
      verdict: "correct",
      bugs: [],
    });
  });

  test("of which the last token's logits are known", async () => {
    const { data } = await logitsOf([], "bf16-hf");
    const last = { shape: [1, config.vocabSize], data: data.slice(-config.vocabSize) };
    expect(await diagnose(laboratory, last)).toMatchObject({ verdict: "correct" });
  });
});

test("log-probabilities and scaled vocabularies serve as logits do", async () => {
  const { shape, data } = await logitsOf([named("sinks-none").change]);
  const [T, vocab] = shape as [number, number];
  const padded = new Float32Array(T * (vocab + 8));
  for (let t = 0; t < T; t++) {
    const row = data.subarray(t * vocab, (t + 1) * vocab);
    const logSum = Math.log(Array.from(row, Math.exp).reduce((a, b) => a + b));
    padded.set(
      row.map((x) => x - logSum),
      t * (vocab + 8),
    );
  }
  const { bugs } = await diagnose(laboratory, { shape: [T, vocab + 8], data: padded });
  expect(bugs).toEqual([[named("sinks-none")]]);
});

test("two bugs at once are found", async () => {
  const both = ["router-softmax-over-all", "sinks-none"].map(named);
  const { verdict, bugs } = await diagnose(laboratory, await logitsOf(both.map(({ change }) => change)));
  expect(verdict).toBe("bug");
  expect(bugs.map((members) => members.map(({ name }) => name).sort())).toEqual([
    both.map(({ name }) => name),
  ]);
});

test("a bug that is in no list is said to be unknown", async () => {
  const change: Change = { config: (c) => ({ ...c, swigluAlpha: 1.4, swigluLimit: 5 }) };
  expect(await diagnose(laboratory, await logitsOf([change]))).toMatchObject({
    verdict: "unknown",
    bugs: [],
  });
});

test("bugs that the prompt can't show are listed with the tokens that they need", async () => {
  await using short = new Laboratory(subject, ids.slice(0, 6));
  const { data } = await logitsOf([named("window-plus-1").change]);
  const theirs = { shape: [6, config.vocabSize], data: data.slice(0, 6 * config.vocabSize) };
  const { verdict, hidden } = await diagnose(short, theirs, {
    mutants: mutantsMatching("window-*,rope-none"),
  });
  expect(verdict).toBe("correct");
  expect(
    Object.fromEntries(hidden.map(({ mutant, needsTokens }) => [mutant.name, needsTokens])),
  ).toMatchObject({
    "window-minus-1": config.slidingWindow,
    "window-plus-1": config.slidingWindow + 1,
  });
  expect(hidden.map(({ mutant }) => mutant.name)).not.toContain("rope-none");
});

test("NaN is told with its first token", async () => {
  const { shape, data } = await logitsOf();
  data[5 * config.vocabSize] = Number.NaN;
  expect(await diagnose(laboratory, { shape, data })).toMatchObject({ verdict: "not-finite", firstToken: 5 });
});

test("logits of another shape are refused", async () => {
  const data = new Float32Array(25 * config.vocabSize);
  await expect(diagnose(laboratory, { shape: [25, config.vocabSize], data })).rejects.toThrow(UsageError);
  await expect(diagnose(laboratory, { shape: [24, 10], data: new Float32Array(240) })).rejects.toThrow(
    UsageError,
  );
});

test("the recommended prompt is long enough for all, of ids within the vocabulary", () => {
  const prompt = promptToShowAll(config);
  for (const { from } of MUTANTS) {
    const start = from?.(config) ?? 0;
    if (start !== Number.POSITIVE_INFINITY) expect(prompt.length).toBeGreaterThan(start + 60);
  }
  expect(tokensToShowAll(config)).toBeLessThanOrEqual(prompt.length);
  expect(prompt.every((id) => Number.isInteger(id) && id >= 0 && id < config.vocabSize)).toBe(true);
});

describe("what changes nothing", () => {
  test("positions that start elsewhere", async () => {
    const shifted: Change = {
      ops: (ops, { rope, headDim }) =>
        override(ops, {
          rotate: (x) => {
            const positions = Array.from({ length: x.shape[0]! }, (_, p) => p + 17);
            const frequencies = inverseFrequencies(rope, headDim, ops.dialect.wide);
            return ops.rotate(x, ropeTable(frequencies, rope, positions, ops.dialect));
          },
        }),
    };
    expect(Math.max(...(await strays([shifted], "f64")))).toBeLessThan(1e-9);
  });

  test("a softmax over all experts whose chosen shares are renormalised", async () => {
    const renormalised: Change = {
      ops: (ops) =>
        override(ops, {
          softmax: async (x) => {
            const { shape, data } = ops.read(await ops.softmax(x));
            const half = Float32Array.from(data, (share) => share / 2); // as if others had taken the rest
            const out = half.map((_, i) => {
              const row = half.subarray(i - (i % shape[1]!), i - (i % shape[1]!) + shape[1]!);
              return half[i]! / row.reduce((a, b) => a + b, 0);
            });
            return ops.write({ shape, data: out });
          },
        }),
    };
    expect(Math.max(...(await strays([renormalised])))).toBeLessThan(2e-6);
  });
});
