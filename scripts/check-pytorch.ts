/**
 * The long check: random checkpoints of random shapes, through PyTorch and through this library.
 *
 *     npx tsx scripts/check-pytorch.ts [--seeds N] [--first SEED] [--python PATH] [--keep DIR] [--verbose]
 *
 * Needs Python with the packages of scripts/golden/README.md (`--python`, or PYTHON in the environment), and
 * `npm run build` for the command line. Each seed draws a shape and a prompt, writes the checkpoint in all layouts,
 * and demands, at every trace point of every layer:
 *
 * - f32, f64   within 2e-5 and 1e-11 (relative rms) of both packages in float32 and float64
 * - bf16       each dialect at most a third as far from its own package as that package in bf16 is from float32,
 *              over all tokens together and in the median over tokens
 * - greedy     the continuation of transformers in float32, up to the first near-tie (1e-3) of the best two logits
 * - bits       the same from every layout, chunk size, and from the command line, in every dialect
 *
 * Expert points count where both runs put the same expert at the same rank. Where float32 routes a token otherwise at
 * a near-tie of the router, tokens from there on are left out.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { load } from "../src/generation/model.ts";
import type { DialectName } from "../src/numerics/dialects.ts";
import { readTrace } from "../src/oracle/trace-file.ts";
import { type Trace, trace } from "../src/oracle/trace.ts";

const LIMITS = { f32: 2e-5, f64: 1e-11, bf16: 1 / 3, margin: 1e-3, routerTie: 1e-4 };
const DIALECTS: readonly DialectName[] = ["f32", "f64", "bf16-openai", "bf16-hf"];
const PREFIX = 40; // tokens on which layouts and chunk sizes are compared
const NEW_TOKENS = 16;

const { values: options } = parseArgs({
  options: {
    seeds: { type: "string", default: "30" },
    first: { type: "string", default: "1" },
    python: { type: "string", default: process.env["PYTHON"] ?? "python3" },
    keep: { type: "string" },
    verbose: { type: "boolean", default: false },
  },
});

// -------------------------------------------------------------------------------------------------- random shapes

type Source = "openai" | "transformers";

interface Case {
  readonly arguments: readonly string[];
  /** MXFP4 experts, which every layout holds; otherwise bf16 ones of sizes without a common divisor. */
  readonly quantised: boolean;
  readonly sources: readonly Source[];
  readonly ids: readonly number[];
  readonly chunkSize: number;
  /** Whether GGUF's metadata can say it all: checkpoint.py writes default betas. */
  readonly gguf: boolean;
  readonly title: string;
}

/** mulberry32: a small generator, so that a seed means the same case everywhere. */
function randomOf(seed: number): (n: number) => number {
  let state = Math.imul(seed, 0x9e3779b9);
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t ^= t + Math.imul(t ^ (t >>> 7), 61 | t);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

function draw(seed: number): Case {
  const random = randomOf(seed);
  const between = (low: number, high: number): number => low + random(high - low + 1);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)]!;

  const quantised = random(3) > 0;
  const width = (): number => (quantised ? 32 * between(1, 5) : between(17, 150));
  const kvHeads = between(1, 3);
  const experts = between(3, 32);
  const shape = {
    hidden: width(),
    intermediate: width(),
    heads: kvHeads * between(1, 4),
    "kv-heads": kvHeads,
    layers: between(1, 4),
    "experts-total": experts,
    "top-k": between(1, Math.min(4, experts)),
    vocab: between(7, 301),
    window: pick([1, 2, between(3, 60), between(60, 127), 128, between(129, 200)]),
  };
  const truncate = random(5) === 0;
  const rope = drawRope(random, truncate);
  const most = Math.min(300, Math.round(rope["initial-context"] * rope.factor) - NEW_TOKENS);
  const T = Math.min(most, pick([1, 2, between(3, 40), between(100, 300), between(100, 300), 300]));
  const flags = Object.entries({ ...shape, ...rope, seed }).flatMap(([name, n]) => [`--${name}`, String(n)]);
  return {
    arguments: truncate ? [...flags, "--truncate"] : flags,
    quantised,
    sources: truncate ? ["transformers"] : ["openai", "transformers"],
    ids: Array.from({ length: T }, () => random(shape.vocab)),
    chunkSize: between(1, 97),
    gguf: quantised && !truncate && rope["beta-fast"] === 32 && rope["beta-slow"] === 1,
    title:
      `${shape.layers}×${shape.hidden}/${shape.intermediate} ${shape.heads}/${kvHeads}×${rope["head-dim"]} ` +
      `${shape["top-k"]} of ${experts} w${shape.window} v${shape.vocab} T${T} ` +
      `${rope["initial-context"]}×${rope.factor}${truncate ? " truncated" : ""}${quantised ? "" : " bf16"}`,
  };
}

/** RoPE settings whose ramp lies where OpenAI's code wants it: 0 < low < high < half − 1. */
function drawRope(random: (n: number) => number, truncate: boolean) {
  for (;;) {
    const rope = {
      "head-dim": 2 * (3 + random(40)),
      theta: [500, 1234.5, 10000, 150000][random(4)]!,
      factor: [1, 2.5, 8, 32][random(4)]!,
      "initial-context": [28 + random(100), 202 + random(90), 400 + random(4000)][random(3)]!,
      "beta-fast": [32, 32, 4][random(3)]!,
      "beta-slow": [1, 1, 0.5][random(3)]!,
    };
    const bound = (turns: number): number =>
      ((rope["head-dim"] / 2) * Math.log(rope["initial-context"] / (turns * 2 * Math.PI))) / Math.log(rope.theta);
    const [low, high] = [bound(rope["beta-fast"]), bound(rope["beta-slow"])];
    if (truncate ? low > -3 && Math.ceil(high) > Math.max(low, 0) : low > 0 && high < rope["head-dim"] / 2 - 1) return rope;
  }
}

// -------------------------------------------------------------------------------------------------------- PyTorch

class PyTorch {
  readonly #process: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(python: string) {
    const script = fileURLToPath(new URL("check-pytorch.py", import.meta.url));
    this.#process = spawn(python, [script], { stdio: ["pipe", "pipe", options.verbose ? "inherit" : "ignore"] });
    this.#answers = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  async run<T = void>(job: { do: string; [argument: string]: unknown }): Promise<T> {
    this.#process.stdin!.write(`${JSON.stringify(job)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`${options.python} gave up: see --verbose`);
    const { answer, error } = JSON.parse(value) as { answer: T; error?: string };
    if (error !== undefined) throw new Error(`PyTorch, ${job.do}: ${error}`);
    return answer;
  }

  close(): void {
    this.#process.stdin!.end();
  }
}

// ------------------------------------------------------------------------------------------------------- distances

interface Distance {
  readonly all: number;
  readonly median: number;
}

/** Relative rms of a − b at each point, over the first `tokens` tokens. */
function distances(a: Trace, b: Trace, tokens: number): Map<string, Distance> {
  const result = new Map<string, Distance>();
  for (const [point, { shape, data: y }] of b) {
    if (point === "ids" || point.endsWith("expert_ids")) continue;
    const x = a.get(point)!.data;
    if (a.get(point)!.shape.join() !== shape.join()) throw new Error(`${point} has shape ${a.get(point)!.shape}`);
    const heads = /attn\.(scores|weights|sink)$/.test(point) ? shape[0]! : 1;
    const T = shape[heads > 1 || /attn\.(scores|weights|sink)$/.test(point) ? 1 : 0]!;
    const width = y.length / heads / T;
    const ids = /moe\.(gate_up|swiglu|down)$/.test(point) && point.replace(/\w+$/, "expert_ids");
    const [idsA, idsB] = ids ? [a.get(ids)!.data, b.get(ids)!.data] : [];
    const perSlot = idsB ? y.length / idsB.length : 1;
    const errors = new Float64Array(tokens);
    const signals = new Float64Array(tokens);
    for (let i = 0; i < y.length; i++) {
      const t = Math.floor(i / width) % T;
      const slot = Math.floor(i / perSlot);
      if (t >= tokens || (idsA && idsA[slot] !== idsB![slot])) continue;
      if (x[i] !== y[i]) errors[t]! += (x[i]! - y[i]!) ** 2 || Number.POSITIVE_INFINITY;
      if (Number.isFinite(y[i])) signals[t]! += y[i]! ** 2;
    }
    const sum = (list: Float64Array): number => list.reduce((s, v) => s + v, 0);
    const ratios = errors.map((error, t) => quotient(error, signals[t]!)).sort();
    const median = Math.sqrt(ratios[tokens >> 1] ?? 0);
    result.set(point, { all: Math.sqrt(quotient(sum(errors), sum(signals))), median });
  }
  return result;
}

/** a / b, where nothing in nothing is no error. */
function quotient(a: number, b: number): number {
  return a === 0 ? 0 : a / b;
}

/** First token that two runs route differently for no other reason than a near-tie of its logits; all tokens if none. */
function routedAlike(ours: Trace, theirs: Trace): number {
  let first = theirs.get("ids")!.data.length;
  for (const [point, { shape, data }] of theirs) {
    if (!point.endsWith("expert_ids")) continue;
    const [, k] = shape as [number, number];
    const logits = theirs.get(point.replace("expert_ids", "router_logits"))!;
    const n = logits.shape[1]!;
    for (let slot = 0; slot < data.length; slot++) {
      const t = Math.floor(slot / k);
      const [a, b] = [data[slot]!, ours.get(point)!.data[slot]!];
      const gap = Math.abs(logits.data[t * n + a]! - logits.data[t * n + b]!);
      if (a !== b && gap < LIMITS.routerTie && t < first) first = t;
    }
  }
  return first;
}

class Worst {
  value = -1;
  where = "";
  note(value: number, where: string): void {
    if (value > this.value || Number.isNaN(value)) [this.value, this.where] = [value, where];
  }
}

function differingPoints(a: Trace, b: Trace): string[] {
  return [...a].flatMap(([point, { data }]) => {
    const other = b.get(point)?.data;
    const same = other?.length === data.length && data.every((value, i) => Object.is(value, other[i]));
    return same ? [] : [point];
  });
}

// ------------------------------------------------------------------------------------------------------- one seed

async function ours(path: string, dialect: DialectName, ids: readonly number[], chunkSize = 256): Promise<Trace> {
  await using model = await load(path, { dialect, tokenizer: false });
  return await trace(model.transformer, ids, { chunkSize });
}

async function check(seed: number, torch: PyTorch, folder: string): Promise<boolean> {
  const { quantised, sources, ids, ...rest } = draw(seed);
  const failures: string[] = [];
  const base = join(folder, quantised ? "hf" : "dequantised");
  const layouts = await writeLayouts(seed, torch, folder, rest.arguments, quantised, rest.gguf, sources);

  const theirs = async (source: Source, dtype: string): Promise<Trace> => {
    const out = join(folder, `${source}-${dtype}.safetensors`);
    const store = dtype === "float64" ? "float64" : "float32";
    await torch.run({ do: "trace", model: base, ids, source, dtype, out, store });
    return (await readTrace(out)).trace;
  };
  const runs = new Map<DialectName, Trace>();
  for (const dialect of DIALECTS) runs.set(dialect, await ours(base, dialect, ids));

  // f32, f64: against both packages
  const worst = { f32: new Worst(), f64: new Worst(), bf16: new Worst() };
  let left = ids.length;
  const float32 = new Map<Source, Trace>();
  for (const source of sources) {
    for (const dialect of ["f32", "f64"] as const) {
      const expected = await theirs(source, dialect === "f32" ? "float32" : "float64");
      if (dialect === "f32") float32.set(source, expected);
      const tokens = routedAlike(runs.get(dialect)!, expected);
      left = Math.min(left, tokens);
      for (const [point, { all }] of distances(runs.get(dialect)!, expected, tokens)) {
        worst[dialect].note(all, `${point} ${source}`);
      }
    }
  }

  // bf16: each dialect against its own package
  for (const source of sources) {
    const run = runs.get(source === "openai" ? "bf16-openai" : "bf16-hf")!;
    const expected = await theirs(source, "bfloat16");
    const allowed = distances(expected, float32.get(source)!, ids.length);
    for (const [point, d] of distances(run, expected, ids.length)) {
      const { all, median } = allowed.get(point)!;
      worst.bf16.note(quotient(d.all, all), `${point} ${source}`);
      worst.bf16.note(quotient(d.median, median), `${point} ${source}, median`);
    }
  }
  for (const [name, { value, where }] of Object.entries(worst)) {
    const limit = LIMITS[name as keyof typeof worst];
    if (!(value <= limit)) failures.push(`${name}: ${value.toExponential(2)} at ${where}, allowed ${limit}`);
  }

  const greedy = await checkGreedy(torch, base, ids, failures);

  // bits
  const prefix = ids.slice(0, PREFIX);
  for (const dialect of DIALECTS) {
    const expected = await ours(base, dialect, prefix);
    for (const [name, path] of layouts) {
      const differing = differingPoints(expected, await ours(path, dialect, prefix));
      if (differing.length > 0) failures.push(`bits: ${name}, ${dialect} differs from ${differing[0]} on`);
    }
    for (const chunkSize of [1, 7]) {
      const differing = differingPoints(expected, await ours(base, dialect, prefix, chunkSize));
      if (differing.length > 0) failures.push(`bits: chunks of ${chunkSize}, ${dialect} differ from ${differing[0]} on`);
    }
  }
  const dialect = DIALECTS[seed % 4]!;
  const whole = runs.get(dialect)!;
  const chunked = differingPoints(whole, await ours(base, dialect, ids, rest.chunkSize));
  if (chunked.length > 0) failures.push(`bits: chunks of ${rest.chunkSize}, ${dialect} differ from ${chunked[0]} on`);
  const commandLine = differingPoints(asStored(whole), await traceByCommand(folder, base, dialect, ids));
  if (commandLine.length > 0) failures.push(`bits: the command's trace, ${dialect}, differs from ${commandLine[0]} on`);

  const columns = [
    String(seed).padStart(4),
    worst.f32.value.toExponential(1),
    worst.f64.value.toExponential(1),
    worst.bf16.value.toFixed(3),
    `${greedy}/${NEW_TOKENS}`.padStart(5),
    String(layouts.length + 1).padStart(3),
    `${left < ids.length ? `(${left} tokens routed alike) ` : ""}${rest.title}`,
  ];
  console.log(`${failures.length === 0 ? "ok  " : "FAIL"} ${columns.join("  ")}`);
  for (const failure of failures) console.log(`       ${failure}`);
  if (options.verbose) for (const [name, { where }] of Object.entries(worst)) console.log(`       ${name} worst at ${where}`);
  return failures.length === 0;
}

/** Writes the checkpoint in every layout that can hold it, and returns those beside the first. */
async function writeLayouts(
  seed: number,
  torch: PyTorch,
  folder: string,
  shape: readonly string[],
  quantised: boolean,
  gguf: boolean,
  sources: readonly Source[],
): Promise<[name: string, path: string][]> {
  const layouts = quantised ? ["hf", "dequantised"] : ["dequantised"];
  if (quantised && sources.includes("openai")) layouts.push("original");
  if (gguf) layouts.push("gguf");
  const experts = quantised ? [] : ["--experts", "bf16"];
  const make = (out: string, list: readonly string[], ...more: string[]) =>
    torch.run({ do: "make", arguments: [...shape, ...experts, "--out", out, "--layouts", list.join(), ...more] });
  await make(folder, layouts, "--dense", "F32,BF16");
  await make(join(folder, "sharded"), layouts.slice(0, quantised ? 2 : 1), "--shards", String(2 + (seed % 3)));
  const base = join(folder, layouts[0]!);
  const saved = join(folder, "saved");
  const [dtype, shard_size] = [seed % 2 ? "float32" : "bfloat16", seed % 4 < 2 ? "20KB" : "1GB"];
  await torch.run({ do: "save", model: base, out: saved, dtype, shard_size });
  const paths = layouts.slice(1).flatMap((name) => (name === "gguf" ? [] : [name]));
  paths.push(...layouts.slice(0, quantised ? 2 : 1).map((name) => `sharded/${name}`), "saved");
  if (gguf) paths.push("gguf/model-F32.gguf", "gguf/model-BF16.gguf");
  return paths.map((name) => [name, join(folder, name)]);
}

/** Number of tokens that agree with PyTorch's before the first near-tie. */
async function checkGreedy(torch: PyTorch, path: string, ids: readonly number[], failures: string[]): Promise<number> {
  const job = { do: "greedy", model: path, ids, tokens: NEW_TOKENS };
  const expected = await torch.run<{ ids: number[]; margins: number[] }>(job);
  await using model = await load(path, { dialect: "f32", tokenizer: false });
  let n = 0;
  for await (const { id } of model.generate(ids, { temperature: 0, maxTokens: NEW_TOKENS, stopTokens: [] })) {
    if (id !== expected.ids[n]) {
      const margin = expected.margins[n]!;
      if (margin > LIMITS.margin) failures.push(`greedy: token ${n} is ${id}, not ${expected.ids[n]} (margin ${margin})`);
      break;
    }
    n++;
  }
  return n;
}

async function traceByCommand(folder: string, model: string, dialect: DialectName, ids: readonly number[]): Promise<Trace> {
  const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
  if (!existsSync(main)) throw new Error("no dist/cli/main.js: run npm run build");
  const [idsFile, out] = [join(folder, "ids.json"), join(folder, "command.safetensors")];
  await writeFile(idsFile, JSON.stringify({ ids }));
  const flags = ["--ids", idsFile, "--out", out, "--dialect", dialect];
  execFileSync(process.execPath, [main, "trace", model, ...flags], { stdio: ["ignore", "ignore", "inherit"] });
  return (await readTrace(out)).trace;
}

/** Trace files hold float32, whatever the dialect. */
function asStored(run: Trace): Trace {
  const narrow = [...run].map(([point, { shape, data }]) => {
    return [point, { shape, data: data instanceof Float64Array ? Float32Array.from(data) : data }] as const;
  });
  return new Map(narrow);
}

// ------------------------------------------------------------------------------------------------------------ main

const torch = new PyTorch(options.python);
console.log("     seed  f32      f64      bf16   greedy layouts  shape");
let failed = 0;
for (let seed = Number(options.first), i = 0; i < Number(options.seeds); i++, seed++) {
  const folder = options.keep ? join(options.keep, String(seed)) : await mkdtemp(join(tmpdir(), "check-pytorch-"));
  try {
    if (!(await check(seed, torch, folder))) failed++;
  } catch (error) {
    failed++;
    console.log(`FAIL ${String(seed).padStart(4)}  ${draw(seed).title}\n       ${(error as Error).message}`);
  }
  if (!options.keep) await rm(folder, { recursive: true, force: true });
}
torch.close();
console.log(`${Number(options.seeds) - failed} of ${options.seeds} seeds agree with PyTorch`);
if (failed > 0) process.exitCode = 1;
