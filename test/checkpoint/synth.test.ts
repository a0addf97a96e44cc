import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  bytesOnDisk,
  plannedFiles,
  type SynthOptions,
  synthesize,
} from "../../src/checkpoint/synth/index.ts";
import { normalBfloat16, stream, uniformBytes } from "../../src/checkpoint/synth/values.ts";
import type { WeightSource } from "../../src/checkpoint/weights.ts";
import { UsageError } from "../../src/errors.ts";
import { listWeights, openFiles, readValues, synthetic } from "./files.ts";

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe("a synthetic checkpoint", () => {
  it("is the same on every machine", async () => {
    const digests: Record<string, string> = {};
    for (const format of ["hf", "original", "gguf"] as const) {
      for (const [name, bytes] of await synthetic(format, { layers: 4 }))
        digests[`${format}/${name}`] = sha256(bytes);
    }
    expect(digests).toMatchInlineSnapshot(`
      {
        "gguf/gpt-oss-nano-mxfp4.gguf": "c48ec9d60af75700aea6aa4840701632d051b9f6e3e37ccd3df2e15c252e1aa2",
        "hf/config.json": "c2f8adcde0da912cc189bca69ec29da7c25a79986ca8fbc98b4dfb6887dc0902",
        "hf/model.safetensors": "46ff092301a3f473270c80c54905035aa38434601e67d141fee1d2c9d0159e2c",
        "original/config.json": "ffd71b914f4821c20c1c8289016a7297ee5706f1a239852c265c0cce3bfcf2e3",
        "original/model.safetensors": "5afb8c5d8d7b922b2f576de1a176463be7820faa38bd4fa805cce2a9a60afcb4",
      }
    `);
  });
  it.each(["hf", "original", "gguf"] as const)(
    "leaves the experts out of a sparse %s file, and nothing else",
    async (format) => {
      const [whole, sparse] = [
        await openFiles(await synthetic(format)),
        await openFiles(await synthetic(format, { sparse: true })),
      ];
      const experts = new Set(
        whole.weights.layers.flatMap(({ moe }) => [moe.gateUp.weight.name, moe.down.weight.name]),
      );
      const others = await listWeights(sparse.weights);
      for (const [i, weight] of (await listWeights(whole.weights)).entries()) {
        const { data } = await others[i]!.readRows(0, 0, weight.rows);
        if (experts.has(weight.name)) expect(data.every((byte) => byte === 0)).toBe(true);
        else expect(data).toEqual((await weight.readRows(0, 0, weight.rows)).data);
      }
      const bytes = [...(await synthetic(format)).values()].reduce((sum, file) => sum + file.length, 0);
      const options = { shape: "nano", layers: 2, format } as const;
      expect(bytesOnDisk(options)).toBe(bytes);
      const { numExperts, hiddenSize, intermediateSize } = whole.config;
      const values = 2 * numExperts * 3 * hiddenSize * intermediateSize;
      expect(bytesOnDisk({ ...options, sparse: true })).toBe(bytes - (values * 17) / 32);
    },
  );
  it("differs by seed", async () => {
    const read = async (seed: number): Promise<Float32Array[]> =>
      readValues((await openFiles(await synthetic("hf", { seed }))).weights.norm);
    const [a, b, again] = [await read(0), await read(1), await read(0)];
    expect(a).toEqual(again);
    expect(a).not.toEqual(b);
  });
  it("has no two tensors alike, nor two rows", async () => {
    const { weights } = await openFiles(await synthetic("hf"));
    const rows = new Set<string>();
    let count = 0;
    for (const weight of [
      weights.embedding,
      weights.unembedding,
      ...weights.layers.flatMap(({ attn, moe }) => [
        attn.q.weight,
        attn.out.weight,
        moe.gateUp.weight,
        moe.down.weight,
      ]),
    ]) {
      for (let matrix = 0; matrix < weight.matrices; matrix++) {
        for (let row = 0; row < weight.rows; row++) {
          const { data } = await weight.readRows(matrix, row, 1);
          rows.add(Buffer.from(data).toString("latin1"));
          count++;
        }
      }
    }
    expect(rows.size).toBe(count);
  });
  it("has weights that keep a model alive", async () => {
    const { weights } = await openFiles(await synthetic("hf"));
    const spread = async (weight: WeightSource): Promise<{ mean: number; std: number }> => {
      const values = (await readValues(weight)).flatMap((matrix) => [...matrix]);
      const mean = values.reduce((a, b) => a + b) / values.length;
      return { mean, std: Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length) };
    };
    const near = async (
      weight: WeightSource,
      mean: number,
      std: number,
      tolerance: number,
    ): Promise<void> => {
      const found = await spread(weight);
      expect(Math.abs(found.mean - mean), weight.name).toBeLessThan(tolerance * std * 3);
      expect(Math.abs(found.std / std - 1), weight.name).toBeLessThan(tolerance);
    };
    const { attn, moe } = weights.layers[1]!;
    await near(weights.embedding, 0, 1, 0.01);
    await near(weights.unembedding, 0, 2 / 8, 0.01);
    await near(attn.norm, 1, 0.2, 0.3);
    await near(attn.q.weight, 0, 1.1 / 8, 0.05);
    await near(moe.router.weight, 0, 1.5 / 8, 0.1);
    await near(moe.gateUp.weight, 0, 4 / 8, 0.3); // MXFP4's scales are powers of two
    await near(moe.down.weight, 0, 0.15 / Math.sqrt(32), 0.3);
    const scales = (await moe.gateUp.weight.readRows(0, 0, 64)).scales!;
    expect(new Set(scales).size).toBe(4);
  });
});

describe("random numbers", () => {
  it("can be made from any place on", () => {
    const fill = uniformBytes(stream(1, "a tensor"));
    const whole = new Uint8Array(4096);
    fill(0, whole);
    const part = new Uint8Array(400);
    fill(1000, part);
    expect(part).toEqual(whole.slice(1000, 1400));
    expect(() => fill(2, part)).toThrow(RangeError);
  });
  it("are spread evenly over bytes and their bits", () => {
    const bytes = new Uint8Array(1 << 20);
    uniformBytes(stream(0, "x"))(0, bytes);
    const counts = new Float64Array(256);
    for (const byte of bytes) counts[byte]!++;
    const expected = bytes.length / 256;
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(chiSquare).toBeGreaterThan(180);
    expect(chiSquare).toBeLessThan(340);
  });
  it("have the quantiles of the normal distribution", () => {
    const bytes = new Uint8Array(1 << 19);
    normalBfloat16(stream(0, "x"), 1)(0, bytes);
    const values = Float32Array.from(new Uint16Array(bytes.buffer), (half) => {
      return new Float32Array(Uint32Array.of(half << 16).buffer)[0]!;
    }).sort();
    const at = (share: number): number => values[Math.floor(share * values.length)]!;
    expect(at(0.5)).toBeCloseTo(0, 1);
    expect(at(0.8413)).toBeCloseTo(1, 1);
    expect(at(0.02275)).toBeCloseTo(-2, 1);
    expect(at(0.99865)).toBeCloseTo(3, 1);
  });
});

describe("the plan of a full-size checkpoint", () => {
  const plan = (options: Omit<SynthOptions, "seed">): { names: string[]; total: number } => {
    const { files } = plannedFiles(options);
    const weights = files.filter(({ name }) => !name.endsWith(".json"));
    return {
      names: weights.map(({ name }) => name),
      total: weights.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  };
  const about = (bytes: number, expected: number): void =>
    expect(Math.abs(bytes / expected - 1)).toBeLessThan(1e-5);

  it("has the published files and sizes of gpt-oss-20b", () => {
    const hf = plan({ shape: "20b", format: "hf" });
    expect(hf.names).toEqual([0, 1, 2].map((i) => `model-0000${i}-of-00002.safetensors`));
    about(hf.total, 13_761_316_904);
    const original = plan({ shape: "20b", format: "original" });
    expect(original.names).toEqual(["model.safetensors"]);
    about(original.total, 13_761_300_984);
    expect(plan({ shape: "20b", format: "gguf" }).names).toEqual(["gpt-oss-20b-mxfp4.gguf"]);
    const q8 = plan({ shape: "20b", format: "gguf", dense: "q8_0" }).total;
    expect(Math.abs(q8 / 12_109_566_000 - 1)).toBeLessThan(0.001); // the published one has merges and a template, too
  });
  it("has the published files and sizes of gpt-oss-120b", () => {
    const hf = plan({ shape: "120b", format: "hf" });
    expect(hf.names.length).toBe(15);
    expect(hf.names.at(-1)).toBe("model-00014-of-00014.safetensors");
    about(hf.total, 65_248_815_744);
    const original = plan({ shape: "120b", format: "original" });
    expect(original.names).toEqual([1, 2, 3, 4, 5, 6, 7].map((i) => `model--0000${i}-of-00007.safetensors`));
    about(original.total, 65_248_815_744);
  });
  it("is refused for impossible numbers", () => {
    expect(() => plan({ shape: "nano", format: "hf", layers: 0 })).toThrow(UsageError);
    expect(() => plan({ shape: "nano", format: "hf", layers: 1e9 })).toThrow(/from 1 to 1024/);
    expect(() => plannedFiles({ shape: "nano", format: "hf", seed: 2 ** 32 })).toThrow(/seed/);
  });
});

describe("a sink that fails", () => {
  it("makes the synthesis fail", async () => {
    let closed = 0;
    const sink = {
      create: async () => ({
        write: async (bytes: Uint8Array) => {
          if (bytes.length > 100_000) throw new Error("disk full");
        },
        skip: async () => {},
        close: async () => {
          closed++;
        },
      }),
    };
    await expect(synthesize(sink, { shape: "nano", format: "hf" })).rejects.toThrow("disk full");
    expect(closed).toBe(1);
  });
});
