import type { Command } from "commander";
import type { Ops } from "../engine/ops.ts";
import { SimdEngine } from "../engine/simd/index.ts";
import { UsageError } from "../errors.ts";
import { load } from "../generation/model.ts";
import type { KvCache } from "../model/kv-cache.ts";
import type { Transformer } from "../model/transformer.ts";
import { type EngineFlags, engineFlags, integer, loadOptions, modelPath } from "./arguments.ts";

interface Options extends EngineFlags {
  prompt: number;
  gen: number;
  chunk: number;
  json?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command("bench")
    .description(
      "measure loading, prefill and decoding speed, and peak memory, on fixed pseudo-random ids, after a short warm-up",
    )
    .argument("[model]", "checkpoint folder or .gguf file (default: the small checkpoint)");
  engineFlags(command)
    .option("--prompt <n>", "tokens of the prompt", integer(1), 512)
    .option("--gen <n>", "tokens to decode after it", integer(1), 64)
    .option("--chunk <n>", "prompt tokens a forward pass", integer(1), 512)
    .option("--json", "print the figures as JSON")
    .action(run);
}

export interface BenchResult {
  readonly model: string;
  readonly dialect: string;
  readonly threads: number;
  /** Kernels in use: relaxed or baseline SIMD, or none (the reference engine). */
  readonly simd: "relaxed" | "baseline" | "none";
  readonly runtime: string;
  readonly load: { readonly seconds: number };
  readonly prefill: Rate;
  /** `context` is the length of the context when decoding began. */
  readonly decode: Rate & { readonly context: number };
  /** Bytes of experts read while decoding, under a memory budget. */
  readonly fetchedBytesPerToken: number;
  readonly peakRssBytes: number;
  readonly heapBytes: number;
}

interface Rate {
  readonly tokens: number;
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

async function run(model: string | undefined, options: Options): Promise<void> {
  const path = modelPath(model);
  const start = performance.now();
  await using loaded = await load(path, { ...loadOptions(options), tokenizer: false });
  const loadSeconds = (performance.now() - start) / 1000;
  const { transformer } = loaded;
  const { ops, config } = transformer;
  if (options.prompt + options.gen > config.maxContextLength) {
    throw new UsageError("prompt and generated tokens are longer than the model's context", {
      expected: `at most ${config.maxContextLength}`,
      found: options.prompt + options.gen,
    });
  }
  const { prefill, decode, fetched } = await measure(transformer, options);
  const result: BenchResult = {
    model: path,
    dialect: ops.dialect.name,
    threads: ops instanceof SimdEngine ? ops.threads : 1,
    simd: simdOf(ops),
    runtime: runtime(),
    load: { seconds: round(loadSeconds) },
    prefill,
    decode: { ...decode, context: options.prompt },
    fetchedBytesPerToken: Math.round(fetched / options.gen),
    peakRssBytes: process.resourceUsage().maxRSS * 1024,
    heapBytes: process.memoryUsage().heapUsed,
  };
  if (options.json) console.log(JSON.stringify(result));
  else print(result);
}

/** Runs the prompt in chunks, then token by token; ids are the same in every run. */
async function measure(
  transformer: Transformer,
  { prompt, gen, chunk }: Options,
): Promise<{ prefill: Rate; decode: Rate; fetched: number }> {
  const { config, ops } = transformer;
  const ids = Array.from({ length: prompt + gen }, (_, i) => pseudoRandom(i) % config.vocabSize);
  const pass = async (part: readonly number[], cache: KvCache): Promise<void> => {
    ops.read(await transformer.forward(part, cache, { lastOnly: true }));
  };
  const time = async (tokens: number, work: () => Promise<void>): Promise<Rate> => {
    const start = performance.now();
    await work();
    const seconds = (performance.now() - start) / 1000;
    return { tokens, seconds: round(seconds), tokensPerSecond: round(tokens / seconds) };
  };
  {
    // so that compilation and first touches of memory are not in the figures
    using cache = transformer.createCache();
    for (const part of [ids.slice(0, 32), ids.slice(0, 1), ids.slice(0, 1)]) await pass(part, cache);
  }
  using cache = transformer.createCache();
  const prefill = await time(prompt, async () => {
    for (let at = 0; at < prompt; at += chunk) await pass(ids.slice(at, Math.min(at + chunk, prompt)), cache);
  });
  const fetchedBytes = (): number => (ops instanceof SimdEngine ? ops.fetchedBytes : 0);
  const before = fetchedBytes();
  const decode = await time(gen, async () => {
    for (const id of ids.slice(prompt)) await pass([id], cache);
  });
  return { prefill, decode, fetched: fetchedBytes() - before };
}

/** 31 bits; the constants are those of Knuth's multiplicative hash and of murmur3's finaliser. */
function pseudoRandom(i: number): number {
  let x = Math.imul(i + 1, 0x9e3779b1);
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b);
  return (x ^ (x >>> 13)) >>> 1;
}

function simdOf(ops: Ops): BenchResult["simd"] {
  if (!(ops instanceof SimdEngine)) return "none";
  return ops.relaxed ? "relaxed" : "baseline";
}

function runtime(): string {
  const { bun, deno, node } = process.versions;
  if (bun) return `Bun ${bun}`;
  return deno ? `Deno ${deno}` : `Node ${node}`;
}

function round(x: number): number {
  return Number(x.toPrecision(5));
}

function print({ load, prefill, decode, peakRssBytes, fetchedBytesPerToken, ...about }: BenchResult): void {
  console.log(
    `${about.model}: ${about.dialect}, ${about.threads} threads, SIMD ${about.simd}, ${about.runtime}`,
  );
  console.log(`load     ${load.seconds} s`);
  console.log(
    `prefill  ${prefill.tokensPerSecond} tokens/s (${prefill.tokens} tokens in ${prefill.seconds} s)`,
  );
  console.log(
    `decode   ${decode.tokensPerSecond} tokens/s (${decode.tokens} tokens after ${decode.context})`,
  );
  if (fetchedBytesPerToken > 0) {
    console.log(`fetched  ${(fetchedBytesPerToken / 2 ** 20).toFixed(1)} MiB of experts a token`);
  }
  console.log(`memory   ${(peakRssBytes / 2 ** 30).toFixed(2)} GiB at its peak`);
}
