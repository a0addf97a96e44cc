import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createEngine } from "../engine/index.ts";
import { ReferenceEngine } from "../engine/reference/index.ts";
import { CheckpointError } from "../errors.ts";
import { load } from "../generation/model.ts";
import type { DialectName } from "../numerics/dialects.ts";
import { modelChecks } from "./check-model.ts";
import { numericsChecks, type OpVectors, opChecks } from "./check-ops.ts";
import { type Check, differing, relativeRms } from "./checks.ts";
import { type Trace, trace } from "./trace.ts";
import { readTrace } from "./trace-file.ts";

/**
 * The golden suite: what this package computes against what PyTorch, transformers and mpmath computed.
 *
 * @param golden folder with `ops/` and `model/`, as scripts/golden writes them
 */
export function goldenChecks(golden: string): Check[] {
  const read = remembering(async (file: string) => (await readTrace(join(golden, file))).trace);
  const vectors: OpVectors = (file) => read(`ops/${file}.safetensors`);
  return [
    ...numericsChecks(vectors),
    ...opChecks((dialect) => new ReferenceEngine(dialect), vectors),
    ...opChecks((dialect) => createEngine({ dialect, engine: "simd" }), vectors, ", SIMD", SIMD_DIALECTS),
    ...wholeModelChecks(join(golden, "model"), (file) => read(`model/${file}.safetensors`)),
  ];
}

/** Those that the SIMD engine computes too. */
const SIMD_DIALECTS = ["int16", "int8"] as const;

/** The golden trace that each dialect is held against. */
const TRACE_OF: Readonly<Record<DialectName, string>> = {
  f64: "f64",
  f32: "f64",
  "bf16-openai": "bf16-openai",
  "bf16-hf": "bf16-transformers",
  int16: "f64",
  int8: "f64",
};

/** The points ahead of the first product with quantised weights. */
const UNQUANTISED = /^embedding$|^layers\.0\.(attn|moe\.(norm|router|expert))/;

/** Distances between PyTorch's own runs, as manifest.json has them. */
type Distances = Readonly<Record<string, Readonly<Record<string, { readonly all: number }>>>>;

function wholeModelChecks(folder: string, read: (file: string) => Promise<Trace>): Check[] {
  const manifest = remembering(async (file: string) => {
    return JSON.parse(await readFile(join(folder, file), "utf8")) as { distances: Distances };
  });
  const golden = async (dialect: DialectName) => {
    const { distances: measured } = await manifest("manifest.json");
    return {
      trace: await read(TRACE_OF[dialect]),
      tolerance(point: string): number {
        const group = point.replace(/^layers\.\d+\./, "");
        const distance = (run: string): number => measured[`${run} to f64`]?.[group]?.all ?? 0;
        // float64 is stored rounded to float32. float32 may stray as PyTorch's own does, or three times as far on an
        // unlucky prompt; a bf16 dialect a third of what its own source strays from the truth.
        // An int dialect is float32 up to the first expert. From there on int16 was measured to stray 5e-5, less than twice a
        // single product's error, and int8 256 times as far, being 8 bits narrower; both may twice that.
        if (dialect === "f64") return 1e-7;
        if (dialect.startsWith("int") && !UNQUANTISED.test(point))
          return dialect === "int16" ? 1e-4 : 2.56e-2;
        if (TRACE_OF[dialect] === "f64") return Math.max(1e-7, 3 * distance("f32-openai"));
        return distance(TRACE_OF[dialect]) / 3;
      },
      // int8 strays as far as bf16, under which PyTorch's own runs choose other experts for 1 token in 120, and order more
      flips: dialect === "int8" ? 0.02 : 0,
    };
  };
  const dialects = Object.keys(TRACE_OF) as DialectName[];
  const checkpoint = join(folder, "checkpoint");
  const whole = { lengths: [300] };
  return [
    ...modelChecks("model, Hugging Face", checkpoint, golden, dialects),
    ...modelChecks("model, Hugging Face", checkpoint, golden, SIMD_DIALECTS, { engine: "simd" }),
    ...modelChecks("model, original", join(folder, "original"), golden, ["f32"], whole),
    ...modelChecks("model, GGUF bf16", join(folder, "gguf/model-BF16.gguf"), golden, ["f32"], whole),
    ...modelChecks("model, GGUF f32", join(folder, "gguf/model-F32.gguf"), golden, ["f32"], whole),
  ];
}

/** What can be checked of any checkpoint, with no golden at hand; digests too, where a manifest.json beside it states them. */
export async function checkpointChecks(path: string): Promise<Check[]> {
  const group = "checkpoint";
  const run = async (dialect: DialectName, chunkSize = 8): Promise<Trace> => {
    await using model = await load(path, { dialect, tokenizer: false });
    return await trace(model.transformer, someIds(model.config.vocabSize), { chunkSize });
  };
  const narrow = remembering(run);
  return [
    ...(await digestChecks(path)),
    {
      group,
      name: "f32 against f64",
      async run() {
        const [a, truth] = [await narrow("f32"), await run("f64")];
        const errors = [...truth].map(([point, { data }]) => ({
          point,
          error: relativeRms(a.get(point)!.data, data),
        }));
        const worst = errors.reduce((x, y) => (y.error <= x.error ? x : y));
        return { error: worst.error, tolerance: 2e-5, unit: "relative rms", detail: `at ${worst.point}` };
      },
    },
    {
      group,
      name: "chunks of 3 tokens give the same bits as one pass",
      async run() {
        const chunked = await run("f32", 3);
        let error = 0;
        for (const [point, { data }] of await narrow("f32"))
          error += differing(chunked.get(point)!.data, data);
        return { error, tolerance: 0, unit: "differing" };
      },
    },
  ];
}

/** Eight token ids spread over the vocabulary. */
function someIds(vocabSize: number): number[] {
  return Array.from({ length: 8 }, (_, i) => Math.floor(((i + 0.5) / 8) * vocabSize));
}

/** One check for each file whose SHA-256 a manifest.json in the folder states. */
async function digestChecks(folder: string): Promise<Check[]> {
  const text = await readFile(join(folder, "manifest.json"), "utf8").catch(() => "{}");
  const { files = {} } = JSON.parse(text) as { files?: Record<string, { sha256?: string }> };
  return Object.entries(files).map(([name, { sha256 }]) => ({
    group: "checkpoint files",
    name,
    async run() {
      if (basename(name) !== name)
        throw new CheckpointError("manifest.json names a file elsewhere", { found: name });
      const hash = createHash("sha256");
      await pipeline(createReadStream(join(folder, name)), hash);
      return { error: hash.digest("hex") === sha256 ? 0 : 1, tolerance: 0, unit: "differing" };
    },
  }));
}

/** Calls an asynchronous function once for each argument. */
function remembering<A, R>(call: (argument: A) => Promise<R>): (argument: A) => Promise<R> {
  const results = new Map<A, Promise<R>>();
  return (argument) => {
    const known = results.get(argument);
    if (known) return known;
    const result = call(argument);
    results.set(argument, result);
    return result;
  };
}
