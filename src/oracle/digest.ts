import { MemoryFile } from "../checkpoint/file.ts";
import { type OpenCheckpoint, openCheckpointFiles } from "../checkpoint/open.ts";
import type { EngineOptions } from "../engine/index.ts";
import { SimdEngine } from "../engine/simd/index.ts";
import { load } from "../generation/model.ts";
import type { DialectName } from "../numerics/dialects.ts";
import { trace } from "./trace.ts";

/** How the integer dialects are computed; none of it may show in a digest. */
export interface DigestRun extends EngineOptions {
  readonly chunkSize?: number;
}

export interface DigestResult {
  readonly run: DigestRun;
  /** Kernels in use. */
  readonly simd: "relaxed" | "baseline" | "none";
  /** SHA-256, as hexadecimal digits, over all activations of the golden models in every dialect. */
  readonly digest: string;
}

const EMULATION: DigestRun = { engine: "reference" };
const ON_ONE_THREAD: readonly DigestRun[] = [
  { threads: 1 },
  { threads: 1, shared: false },
  { threads: 1, variant: "baseline", shared: false, chunkSize: 7 },
];
const ON_THREADS: readonly DigestRun[] = [
  { threads: 2 },
  ...[1, 7, 64, 512].map((chunkSize) => ({ threads: 2, chunkSize })),
  { threads: 2, variant: "baseline" },
];

/** All runs that this JavaScript engine is able to make. */
export function digestRuns(): DigestRun[] {
  const hasThreads = typeof SharedArrayBuffer !== "undefined";
  return [EMULATION, ...ON_ONE_THREAD, ...(hasThreads ? ON_THREADS : [])];
}

/**
 * Digests the activations of golden/model and golden/small once for each run: all digests are the same, here and in
 * every other JavaScript engine. Imports nothing of Node.js.
 *
 * @param read gives a file of golden/, such as `small/config.json`
 */
export async function digestActivations(
  read: (path: string) => Promise<Uint8Array>,
  runs: readonly DigestRun[] = digestRuns(),
): Promise<DigestResult[]> {
  const models = [
    { checkpoint: await openFolder(read, "model/checkpoint"), ids: await readIds(read) },
    {
      checkpoint: await openFolder(read, "small"),
      ids: Array.from({ length: 90 }, (_, i) => (i * i * 7 + 3) % 2000),
    },
  ];
  const digestOf = async (dialects: readonly DialectName[], { chunkSize = 256, ...options }: DigestRun) => {
    const parts: string[] = [];
    let simd: DigestResult["simd"] = "none";
    for (const dialect of dialects) {
      for (const { checkpoint, ids } of models) {
        await using model = await load(checkpoint, { ...options, dialect, tokenizer: false });
        for (const [point, { data }] of await trace(model.transformer, ids, { chunkSize }))
          parts.push(point, await sha256(data));
        const { ops } = model.transformer;
        if (ops instanceof SimdEngine) simd = ops.relaxed ? "relaxed" : "baseline";
      }
    }
    return { text: parts.join(), simd };
  };
  const others = await digestOf(["f64", "f32", "bf16-openai", "bf16-hf"], {});
  const results: DigestResult[] = [];
  for (const run of runs) {
    const { text, simd } = await digestOf(["int16", "int8"], run);
    results.push({ run, simd, digest: await sha256(new TextEncoder().encode(others.text + text)) });
  }
  return results;
}

async function openFolder(
  read: (path: string) => Promise<Uint8Array>,
  folder: string,
): Promise<OpenCheckpoint> {
  const names = ["config.json", "model.safetensors"];
  const files = names.map(async (name) => new MemoryFile(name, await read(`${folder}/${name}`)));
  return openCheckpointFiles(await Promise.all(files));
}

async function readIds(read: (path: string) => Promise<Uint8Array>): Promise<number[]> {
  const text = new TextDecoder().decode(await read("model/ids.json"));
  return (JSON.parse(text) as { ids: number[] }).ids;
}

async function sha256(data: ArrayBufferView<ArrayBufferLike>): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", data as ArrayBufferView<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
