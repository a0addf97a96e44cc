import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { compare } from "../../src/oracle/compare.ts";
import { noiseFloor } from "../../src/oracle/noise-floor.ts";
import type { Trace } from "../../src/oracle/trace.ts";
import { readTrace, writeTrace } from "../../src/oracle/trace-file.ts";

/** Two layers' worth of points, 3 tokens. */
function example(): Map<string, { shape: number[]; data: Float32Array | Int32Array }> {
  return new Map<string, { shape: number[]; data: Float32Array | Int32Array }>([
    ["ids", { shape: [3], data: Int32Array.of(5, 6, 7) }],
    ["embedding", { shape: [3, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
    [
      "layers.0.attn.scores",
      {
        shape: [1, 3, 3],
        data: Float32Array.of(1, -Infinity, -Infinity, 1, 2, -Infinity, 1, 2, 3),
      },
    ],
    ["layers.0.moe.expert_ids", { shape: [3, 2], data: Int32Array.of(0, 1, 2, 3, 4, 5) }],
    ["layers.1.moe.residual", { shape: [3, 2], data: Float32Array.of(1, 1, 1, 1, 1, 1) }],
    ["logits", { shape: [3, 2], data: Float32Array.of(0, 1, 0, 2, 0, 3) }],
  ]);
}

test("a trace equals itself, masked scores included", () => {
  const result = compare(example(), example(), 0);
  expect(result.firstDivergence).toBeUndefined();
  expect(result.points).toHaveLength(6);
  expect(result.meanKl).toBe(0);
  expect(result.top1Agreement).toBe(1);
});

test("the first divergence is named in forward order, with its first token", () => {
  const other = example();
  other.get("logits")!.data[0] = 5;
  other.get("layers.1.moe.residual")!.data[4] = 2;
  const { firstDivergence, top1Agreement, meanKl } = compare(other, example(), 1e-3);
  expect(firstDivergence).toMatchObject({ point: "layers.1.moe.residual", firstToken: 2, maxAbsolute: 1 });
  expect(firstDivergence!.relativeRms).toBeCloseTo(Math.sqrt(1 / 6), 10);
  expect(top1Agreement).toBeCloseTo(2 / 3, 10);
  // KL of (σ(−1), σ(1)) from (σ(5 − 1), …) for one token of three, by hand
  const p = 1 / (1 + Math.E);
  const q = 1 / (1 + Math.exp(-4));
  expect(meanKl).toBeCloseTo((p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q))) / 3, 10);
});

test("errors within the floor pass", () => {
  const other = example();
  other.get("embedding")!.data[0] = 1.00001;
  expect(compare(other, example(), 1e-5).firstDivergence).toBeUndefined();
  expect(compare(other, example(), 1e-7).firstDivergence).toMatchObject({
    point: "embedding",
    firstToken: 0,
  });
});

test("a key that one side masks is a divergence at its query", () => {
  const other = example();
  other.get("layers.0.attn.scores")!.data[3] = -Infinity;
  expect(compare(other, example(), 1).firstDivergence).toMatchObject({
    point: "layers.0.attn.scores",
    firstToken: 1,
  });
});

test("NaN is a divergence", () => {
  const other = example();
  other.get("layers.1.moe.residual")!.data[3] = Number.NaN;
  expect(compare(other, example(), 1e9).firstDivergence).toMatchObject({ firstToken: 1 });
});

test("routing flips are counted", () => {
  const other = example();
  other.get("layers.0.moe.expert_ids")!.data[3] = 0;
  expect(compare(other, example(), 0.3).firstDivergence).toMatchObject({ flips: 1, firstToken: 1 });
  expect(compare(other, example(), 0.4).firstDivergence).toBeUndefined(); // one of three tokens: as rare as the floor allows
});

test("what different experts computed is not compared", () => {
  const [a, b] = [example(), example()];
  for (const trace of [a, b])
    trace.set("layers.0.moe.down", { shape: [3, 2, 1], data: new Float32Array(6).fill(1) });
  a.get("layers.0.moe.expert_ids")!.data[3] = 0;
  a.get("layers.0.moe.down")!.data[3] = 100;
  const at = (trace: Trace): number | undefined =>
    compare(trace, b, 0.4).points.find(({ point }) => point === "layers.0.moe.down")?.firstToken;
  expect(at(a)).toBeUndefined();
  a.get("layers.0.moe.down")!.data[4] = 100;
  expect(at(a)).toBe(2);
});

test("traces of different prompts diverge whatever the floor", () => {
  const other = example();
  other.get("ids")!.data[2] = 8;
  expect(compare(other, example(), 1).firstDivergence).toMatchObject({ point: "ids", firstToken: 2 });
});

test("a layer number from a hostile file costs nothing", () => {
  const other = example();
  other.set("layers.4000000000.moe.out", { shape: [1], data: Float32Array.of(1) });
  expect(compare(other, other, 0).points).toHaveLength(6);
});

test("other shapes are a mismatch, not a crash", () => {
  const other = example();
  other.set("embedding", { shape: [3, 1], data: Float32Array.of(1, 2, 3) });
  expect(compare(other, example(), 1).firstDivergence?.mismatch).toMatch(/\[3, 1\] and \[3, 2\]/);
});

test("a shorter trace is compared with the first tokens, a single token's logits with the last", () => {
  const other = example();
  other.set("embedding", { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) });
  other.set("logits", { shape: [1, 2], data: Float32Array.of(0, 3) });
  const { points, firstDivergence, logits } = compare(other, example(), 0);
  expect(firstDivergence).toBeUndefined();
  expect(points.map(({ note }) => note).filter(Boolean)).toEqual([
    "the first 2 tokens of 3",
    "the last token only",
  ]);
  expect(logits).toMatchObject({ tokens: 1, meanKl: 0, top1Agreement: 1 });
});

test("points of one side only are listed", () => {
  const other = example();
  other.delete("logits");
  const result = compare(other, example(), 0);
  expect(result.onlyInB).toEqual(["logits"]);
  expect(result.meanKl).toBeUndefined();
});

test("the floor is wider for a rougher dialect, and deeper in the model", () => {
  const at = (a: string, b: string, layer: number): number =>
    noiseFloor(a, b).at(`layers.${layer}.moe.residual`).median;
  expect(at("f64", "bf16-hf", 1)).toBeGreaterThan(1000 * at("f64", "f32", 1));
  expect(at("f64", "int8", 1)).toBeGreaterThan(10 * at("f64", "int16", 1));
  expect(at("f64", "bf16-hf", 23)).toBeGreaterThan(at("f64", "bf16-hf", 1));
  expect(at("f64", "f32", 60)).toBeGreaterThanOrEqual(at("f64", "f32", 23)); // deeper than was measured
  expect(at("f64", "f64", 0)).toBeGreaterThan(2 ** -25); // what a file of float32 rounds away
});

test("a trace survives its file, which appears complete or not at all", async () => {
  const folder = await mkdtemp(join(tmpdir(), "gpt-oss-"));
  try {
    const path = join(folder, "trace.safetensors");
    await writeTrace(path, example() as Trace, { dialect: "f32" });
    const { trace, metadata } = await readTrace(path);
    expect(new Map(trace)).toEqual(example());
    expect(metadata.get("dialect")).toBe("f32");
    expect(await readdir(folder)).toEqual(["trace.safetensors"]);

    const nowhere = join(folder, "missing", "trace.safetensors");
    await expect(writeTrace(nowhere, example() as Trace, {})).rejects.toThrow(/ENOENT/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
