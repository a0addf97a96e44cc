import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkpointDigest } from "../../src/checkpoint/digest.ts";
import { openNodeFile } from "../../src/checkpoint/file-node.ts";
import { fromGgufBlocks, toGgufBlocks } from "../../src/checkpoint/mxfp4-blocks.ts";
import { type OpenCheckpoint, openCheckpoint } from "../../src/checkpoint/open.ts";
import { readSafetensors } from "../../src/checkpoint/safetensors.ts";
import type { WeightSource } from "../../src/checkpoint/weights.ts";
import { dequantizeMxfp4 } from "../../src/numerics/mxfp4.ts";
import { dequantizeQ8_0 } from "../../src/numerics/q8-0.ts";
import { dequantised } from "./dequantised.ts";
import { cutRows, difference, listWeights, openFiles, readValues, sameRows, synthetic } from "./files.ts";

/** Fails unless every weight of `b` has the values of the same weight of `a`, to the bit. */
async function expectSameValues(a: OpenCheckpoint, b: OpenCheckpoint): Promise<void> {
  const [ours, theirs] = [await listWeights(a.weights), await listWeights(b.weights)];
  expect(theirs.length).toBe(ours.length);
  for (const [i, weight] of ours.entries()) {
    const other = theirs[i]!;
    expect([other.matrices, other.rows, other.cols]).toEqual([weight.matrices, weight.rows, weight.cols]);
    const where = `${weight.name} and ${other.name}`;
    expect(difference(await readValues(other), await readValues(weight)), where).toBeUndefined();
  }
}

describe("one checkpoint in several formats", () => {
  it("has the same configuration, values and digest in all of them", async () => {
    const hf = await openFiles(await synthetic("hf"));
    const others = [
      await openFiles(await synthetic("original")),
      await openFiles(await synthetic("gguf")),
      await openFiles(await synthetic("gguf", { dense: "f32" })),
      await openFiles(await synthetic("hf", { maxShardBytes: 200_000 })),
      await openFiles(await synthetic("original", { maxShardBytes: 200_000 })),
    ];
    expect(others.map((other) => other.format)).toEqual(["original", "gguf", "gguf", "hf", "original"]);
    for (const other of others) {
      expect(other.config).toEqual(hf.config);
      expect(await checkpointDigest(other)).toBe(await checkpointDigest(hf));
      await expectSameValues(hf, other);
    }
  });
  it("has MXFP4 rows of the same bytes in all of them", async () => {
    const checkpoints = [];
    for (const format of ["hf", "original", "gguf"] as const) {
      checkpoints.push(await openFiles(await synthetic(format)));
    }
    const rows = await Promise.all(
      checkpoints.map(({ weights }) => {
        const { gateUp, down } = weights.layers[1]!.moe;
        return Promise.all([gateUp, down].map(({ weight }) => weight.readRows(5, 3, 7)));
      }),
    );
    expect(rows[1]).toEqual(rows[0]);
    expect(rows[2]).toEqual(rows[0]);
    expect(rows[0]![0]).toMatchObject({ encoding: "mxfp4", rows: 7, cols: 64 });
  });
  it("has close values in Q8_0", async () => {
    const hf = await openFiles(await synthetic("hf"));
    const q8 = await openFiles(await synthetic("gguf", { dense: "q8_0" }));
    const [a] = await readValues(hf.weights.unembedding);
    const [b] = await readValues(q8.weights.unembedding);
    expect(q8.weights.unembedding.encoding).toBe("q8_0");
    const worst = a!.reduce((max, x, i) => Math.max(max, Math.abs(x - b![i]!)), 0);
    expect(worst).toBeGreaterThan(0);
    expect(worst).toBeLessThan(0.005); // half a step: values are below 1.2, in 127 steps
    expect(await checkpointDigest(q8)).not.toBe(await checkpointDigest(hf));
  });
  it.each(["BF16", "F16", "F32"] as const)(
    "may have its experts dequantised to %s and transposed",
    async (dtype) => {
      const files = await synthetic("hf");
      const hf = await openFiles(files);
      const plain = await openFiles(await dequantised(files, hf, dtype));
      expect(plain.config).toEqual(hf.config);
      expect(plain.weights.layers[0]!.moe.gateUp.weight.encoding).toBe(dtype.toLowerCase());
      await expectSameValues(hf, plain);
    },
  );
});

describe("rows", () => {
  it("are the same whichever range they are read by", async () => {
    const files = await synthetic("hf");
    const hf = await openFiles(files);
    const checkpoints = [
      hf,
      await openFiles(await synthetic("original")),
      await openFiles(await synthetic("gguf")),
      await openFiles(await synthetic("gguf", { dense: "q8_0" })),
      await openFiles(await dequantised(files, hf, "BF16")),
    ];
    for (const { weights } of checkpoints) {
      const { attn, moe } = weights.layers[1]!;
      const list = [
        weights.embedding,
        attn.k.weight,
        attn.v.bias,
        moe.gateUp.weight,
        moe.gateUp.bias,
        moe.down.weight,
      ];
      for (const weight of list) {
        const whole = await Promise.all(
          Array.from({ length: weight.matrices }, (_, matrix) => weight.readRows(matrix, 0, weight.rows)),
        );
        await fc.assert(
          fc.asyncProperty(ranges(weight), async ([matrix, first, count]) => {
            const rows = await weight.readRows(matrix, first, count);
            expect(sameRows(rows, cutRows(whole[matrix]!, first, count))).toBe(true);
          }),
          { seed: 1, numRuns: 25 },
        );
      }
    }
  });
  it("outside of a weight are refused", async () => {
    const { weights } = await openFiles(await synthetic("original"));
    const { weight } = weights.layers[0]!.moe.gateUp;
    await expect(weight.readRows(0, 60, 5)).rejects.toThrow(RangeError);
    await expect(weight.readRows(8, 0, 1)).rejects.toThrow(RangeError);
    await expect(weight.readRows(0, -1, 1)).rejects.toThrow(RangeError);
    // the rows of k begin behind those of q in the same tensor
    await expect(weights.layers[0]!.attn.q.weight.readRows(0, 64, 1)).rejects.toThrow(RangeError);
  });
});

function ranges({ matrices, rows }: WeightSource): fc.Arbitrary<[number, number, number]> {
  return fc
    .tuple(fc.nat(matrices - 1), fc.nat(rows), fc.nat(rows))
    .map(([matrix, a, b]) => [matrix, Math.min(a, b), Math.abs(a - b)]);
}

describe("goldens made in Python", () => {
  const golden = (name: string): string => new URL(`../../golden/${name}`, import.meta.url).pathname;

  it("hold one model in three formats", async () => {
    const names = ["checkpoint", "original", "gguf/model-BF16.gguf", "gguf/model-F32.gguf"];
    const [hf, ...others] = await Promise.all(names.map((name) => openCheckpoint(golden(`model/${name}`))));
    try {
      expect(others.map(({ format }) => format)).toEqual(["original", "gguf", "gguf"]);
      for (const other of others) {
        expect(other.config).toEqual(hf!.config);
        expect(await checkpointDigest(other)).toBe(await checkpointDigest(hf!));
        await expectSameValues(hf!, other);
      }
    } finally {
      for (const checkpoint of [hf!, ...others]) await checkpoint.close();
    }
  });
  it("say what ggml's blocks stand for", async () => {
    const file = await openNodeFile(golden("ops/gguf-blocks.safetensors"));
    const { tensors } = await readSafetensors(file);
    const bytes = async (name: string): Promise<Uint8Array> => {
      const { offset, bytes } = tensors.get(name)!;
      return file.read(offset, bytes);
    };
    const floats = async (name: string): Promise<Float32Array> =>
      new Float32Array((await bytes(name)).slice().buffer);
    const { data, scales } = fromGgufBlocks(await bytes("mxfp4.bytes"));
    const mxfp4 = await floats("mxfp4.f32");
    const ours = new Float32Array(mxfp4.length);
    dequantizeMxfp4(data, scales, ours);
    for (const [i, x] of ours.entries()) {
      // ggml takes 255 for a power of two, and has no −0
      if (scales[i >> 5] !== 255) expect(x + 0).toBe(mxfp4[i]! + 0);
    }
    const q8 = await floats("q8_0.f32");
    const oursQ8 = new Float32Array(q8.length);
    dequantizeQ8_0(await bytes("q8_0.bytes"), oursQ8);
    expect(oursQ8).toEqual(q8);
    await file.close();
  });
});

describe("ggml's order of nibbles", () => {
  it("is undone and redone", () => {
    // one block: elements 0, 1, 2, …, 15, 0, 1, …, 15
    const data = Uint8Array.from({ length: 16 }, (_, j) => ((2 * j) % 16) | (((2 * j + 1) % 16) << 4));
    const packed = new Uint8Array(17);
    toGgufBlocks(data, Uint8Array.of(99), packed, 0);
    expect([...packed]).toEqual([99, ...Array.from({ length: 16 }, (_, j) => j | (j << 4))]);
    expect(fromGgufBlocks(packed)).toEqual({ data, scales: Uint8Array.of(99) });
  });
});
