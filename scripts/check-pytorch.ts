/**
 * The long check: random checkpoints of random shapes, through PyTorch and through this library.
 *
 *     npm run build && npx tsx scripts/check-pytorch.ts [--seeds N] [--first SEED] [--python PATH] [--keep DIR]
 *
 * Needs Python (`--python`, or PYTHON in the environment) with the packages of scripts/golden/README.md. Each seed
 * draws a shape and a prompt, writes the checkpoint in every layout that can hold it, and demands, at every trace
 * point of every layer, in relative rms:
 *
 * - f32, f64: within 2e-5 and 1e-11 of both packages in float32 and float64.
 * - ops: each bf16 dialect at most a third as far from its own package as that package in bf16 is from float32, where
 *   every op takes PyTorch's values as its input, so that one op can't hide behind another.
 * - run: the same of the model's own run. There, values that another order of summation rounds the other way (one in
 *   10 000) multiply from layer to layer, as they do between two kernels of PyTorch, so that the third is demanded of
 *   the median token of all seeds together. The figure over all tokens, which a few flips can carry past it, is shown.
 * - greedy: the continuation of transformers in float32, up to the first near-tie (1e-3) of the best two logits.
 * - bits: the same from every layout and chunk size, and from the command line.
 *
 * Expert points count where both runs put the same expert at the same rank. Where a near-tie of router logits sends a
 * token elsewhere in float32, tokens from there on are left out.
 */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { HostTensor } from "../src/engine/ops.ts";
import { load } from "../src/generation/model.ts";
import type { Hook } from "../src/model/hooks.ts";
import type { DialectName } from "../src/numerics/dialects.ts";
import { type Trace, trace } from "../src/oracle/trace.ts";
import { readTrace } from "../src/oracle/trace-file.ts";
import { PyTorch } from "./pytorch.ts";

const LIMITS = { f32: 2e-5, f64: 1e-11, ops: 1 / 3, run: 1 / 3 };
const NEAR_TIE = { router: 1e-4, greedy: 1e-3 };
const PREFIX = 40; // tokens on which layouts and small chunks are compared
const dialects: readonly DialectName[] = ["f64", "f32", "bf16-openai", "bf16-hf"];

const text = (value: string) => ({ type: "string", default: value }) as const;
const { values: options } = parseArgs({
  options: {
    ...{ seeds: text("30"), first: text("1"), keep: text("") },
    python: text(process.env["PYTHON"] ?? "python3"),
  },
});

/** What check-pytorch.py drew. */
interface Case {
  readonly base: string;
  /** Other layouts of the same checkpoint. */
  readonly others: readonly string[];
  readonly sources: readonly ("openai" | "transformers")[];
  readonly ids: readonly number[];
  readonly title: string;
}

/** Sums of squares, token by token: of a − b, and of b. */
interface Squares {
  readonly errors: Float64Array;
  readonly signals: Float64Array;
}

/** How far each point of `a` is from `b`, over the first `tokens` tokens. */
function distances(a: Trace, b: Trace, tokens: number): Map<string, Squares> {
  const result = new Map<string, Squares>();
  for (const [point, { shape, data: y }] of b) {
    if (/ids$/.test(point)) continue;
    const x = a.get(point)!;
    if (x.shape.join() !== shape.join()) throw new Error(`${point} is [${x.shape}], not [${shape}]`);
    const perHead = /attn\.(scores|weights|sink)$/.test(point);
    const T = shape[perHead ? 1 : 0]!;
    const width = y.length / T / (perHead ? shape[0]! : 1);
    const ids = /moe\.(gate_up|swiglu|down)$/.test(point) && point.replace(/\w+$/, "expert_ids");
    const [idsX, idsY] = ids ? [a.get(ids)!.data, b.get(ids)!.data] : [];
    const perSlot = y.length / (idsY?.length ?? 1);
    const [errors, signals] = [new Float64Array(tokens), new Float64Array(tokens)];
    for (let i = 0; i < y.length; i++) {
      const t = Math.floor(i / width) % T;
      const slot = Math.floor(i / perSlot);
      if (t >= tokens || idsX?.[slot] !== idsY?.[slot]) continue;
      if (x.data[i] !== y[i]) errors[t]! += (x.data[i]! - y[i]!) ** 2; // masked scores are −∞ in both
      if (Number.isFinite(y[i])) signals[t]! += y[i]! ** 2;
    }
    result.set(point, { errors, signals });
  }
  return result;
}

const sum = (list: ArrayLike<number>): number => Array.from(list).reduce((total, x) => total + x, 0);
const quotient = (a: number, b: number): number => (a === 0 ? 0 : a / b);
const relativeRms = (d: Squares): number => Math.sqrt(quotient(sum(d.errors), sum(d.signals)));

/** First token whose experts differ at a near-tie of their logits, which is nobody's fault; else the number of tokens. */
function tokensRoutedAlike(ours: Trace, theirs: Trace): number {
  let first = theirs.get("ids")!.data.length;
  for (const [point, { shape, data }] of theirs) {
    if (!point.endsWith("expert_ids")) continue;
    const logits = theirs.get(point.replace("expert_ids", "router_logits"))!;
    for (const [slot, id] of data.entries()) {
      const t = Math.floor(slot / shape[1]!);
      const row = logits.data.subarray(t * logits.shape[1]!);
      const other = ours.get(point)!.data[slot]!;
      if (id !== other && Math.abs(row[id]! - row[other]!) < NEAR_TIE.router) first = Math.min(first, t);
    }
  }
  return first;
}

/** The first point at which two traces have other bits. */
function firstDifference(a: Trace, b: Trace): string | undefined {
  for (const [point, { data }] of a) {
    const other = b.get(point)?.data;
    if (other?.length !== data.length || data.some((x, i) => !Object.is(x, other[i]))) return point;
  }
  return undefined;
}

async function run(
  path: string,
  dialect: DialectName,
  ids: readonly number[],
  chunkSize = 256,
): Promise<Trace> {
  await using model = await load(path, { dialect, tokenizer: false });
  return await trace(model.transformer, ids, { chunkSize });
}

/** Each op on PyTorch's input: what the model makes of it is noted, then PyTorch's own value takes its place. */
async function runOps(path: string, dialect: DialectName, theirs: Trace): Promise<Trace> {
  await using model = await load(path, { dialect, tokenizer: false });
  const results = new Map(theirs);
  const noteAndReplace: Hook = (value, point) => {
    results.set(point, value);
    return theirs.get(point)!;
  };
  const ids = Array.from(theirs.get("ids")!.data);
  await model.transformer.forward(ids, model.transformer.createCache(), { hooks: { "*": noteAndReplace } });
  return results;
}

/** The command's trace. It holds float32, whatever the dialect. */
async function runCommand(
  folder: string,
  model: string,
  dialect: DialectName,
  ids: readonly number[],
): Promise<Trace> {
  const [idsFile, out] = [join(folder, "ids.json"), join(folder, "command.safetensors")];
  await writeFile(idsFile, JSON.stringify({ ids }));
  const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
  const flags = ["--ids", idsFile, "--out", out, "--dialect", dialect];
  execFileSync(process.execPath, [main, "trace", model, ...flags], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return (await readTrace(out)).trace;
}

function asStored(whole: Trace): Trace {
  const narrow = (data: HostTensor["data"]) =>
    data instanceof Float64Array ? Float32Array.from(data) : data;
  return new Map([...whole].map(([point, { shape, data }]) => [point, { shape, data: narrow(data) }]));
}

/** The largest value of a criterion, and where. */
class Worst {
  value = 0;
  where = "";

  note(value: number, where: string): void {
    if (value > this.value || Number.isNaN(value)) [this.value, this.where] = [value, where];
  }
}

/** Squared relative errors of the bf16 dialects' own runs on all seeds: of ours, and of bf16 itself. */
const pooled = new Map<string, { ours: number[]; bf16: number[] }>();

/** One checkpoint with what is known of it so far. */
interface Subject extends Case {
  readonly folder: string;
  readonly path: string;
  readonly runs: ReadonlyMap<DialectName, Trace>;
  readonly failures: string[];
}

async function check(seed: number, torch: PyTorch, folder: string): Promise<boolean> {
  const drawn = await torch.run<Case>({ do: "case", seed, out: folder });
  const path = join(folder, drawn.base);
  const runs = new Map<DialectName, Trace>();
  for (const dialect of dialects) runs.set(dialect, await run(path, dialect, drawn.ids));
  const subject: Subject = { ...drawn, folder, path, runs, failures: [] };

  const { f32, f64, ops, run: own, compared } = await checkPoints(subject, torch);
  const agreeing = await checkGreedy(subject, torch);
  await checkBits(subject, seed);

  const { ids, failures, others, title } = subject;
  const numbers = [
    ...[f32, f64].map((w) => w.value.toExponential(1)),
    ...[ops, own].map((w) => w.value.toFixed(3)),
  ];
  const counts = [agreeing.padStart(6), String(others.length + 1).padStart(7)];
  const left = compared < ids.length ? ` (${compared} compared)` : "";
  const verdict = failures.length === 0 ? "ok  " : "FAIL";
  console.log([verdict, String(seed).padStart(4), ...numbers, ...counts, title + left].join("  "));
  for (const failure of failures) console.log(`      ${failure}`);
  return failures.length === 0;
}

/** Every point of every dialect against PyTorch. */
async function checkPoints({ folder, path, sources, ids, runs, failures }: Subject, torch: PyTorch) {
  const worst = { f32: new Worst(), f64: new Worst(), ops: new Worst(), run: new Worst() };
  let compared = ids.length;
  for (const source of sources) {
    const traceIn = async (dtype: string): Promise<Trace> => {
      const out = join(folder, `${source}-${dtype}.safetensors`);
      await torch.run({ do: "trace", model: path, ids, source, dtype, out });
      return (await readTrace(out)).trace;
    };
    const theirs = {
      f32: await traceIn("float32"),
      f64: await traceIn("float64"),
      bf16: await traceIn("bfloat16"),
    };
    for (const dialect of ["f32", "f64"] as const) {
      const ours = runs.get(dialect)!;
      compared = Math.min(compared, tokensRoutedAlike(ours, theirs[dialect]));
      for (const [point, d] of distances(ours, theirs[dialect], compared)) {
        worst[dialect].note(relativeRms(d), `${point}, ${source}`);
      }
    }

    const dialect = source === "openai" ? "bf16-openai" : "bf16-hf";
    const ops = await runOps(path, dialect, theirs.bf16);
    const opErrors = distances(ops, theirs.bf16, ids.length);
    const runErrors = distances(runs.get(dialect)!, theirs.bf16, ids.length);
    for (const [point, bf16] of distances(theirs.bf16, theirs.f32, ids.length)) {
      const op = opErrors.get(point)!;
      const own = runErrors.get(point)!;
      worst.ops.note(quotient(relativeRms(op), relativeRms(bf16)), `${point}, ${source}`);
      worst.run.note(quotient(relativeRms(own), relativeRms(bf16)), `${point}, ${source}`);
      const kind = `${point.replace(/^layers\.\d+\./, "")}, ${dialect}`;
      const pool = pooled.get(kind) ?? { ours: [], bf16: [] };
      pooled.set(kind, pool);
      for (const t of ids.keys()) {
        pool.ours.push(quotient(own.errors[t]!, own.signals[t]!));
        pool.bf16.push(quotient(bf16.errors[t]!, bf16.signals[t]!));
      }
    }
    for (const [point, { data }] of theirs.bf16) {
      if (!point.endsWith("expert_ids") || data.join() === ops.get(point)!.data.join()) continue;
      failures.push(`ops: other experts for the same logits at ${point}, ${source}`);
    }
  }
  for (const name of ["f32", "f64", "ops"] as const) {
    const { value, where } = worst[name];
    if (!(value <= LIMITS[name])) failures.push(`${name}: ${value.toExponential(2)} at ${where}`);
  }
  return { ...worst, compared };
}

/** The greedy continuation against transformers'. */
async function checkGreedy({ path, ids, failures }: Subject, torch: PyTorch): Promise<string> {
  const theirs = await torch.run<{ ids: number[]; margins: number[] }>({ do: "greedy", model: path, ids });
  const count = theirs.ids.length;
  await using model = await load(path, { dialect: "f32", tokenizer: false });
  let n = 0;
  for await (const { id } of model.generate(ids, { temperature: 0, maxTokens: count, stopTokens: [] })) {
    if (id !== theirs.ids[n]) {
      const margin = theirs.margins[n]!;
      if (margin > NEAR_TIE.greedy) failures.push(`greedy: token ${n} is another, by a margin of ${margin}`);
      break;
    }
    n++;
  }
  return `${n}/${count}`;
}

/** The same bits from all layouts and chunk sizes, and from the command. */
async function checkBits(
  { folder, path, base, others, ids, runs, failures }: Subject,
  seed: number,
): Promise<void> {
  const same = (dialect: DialectName, a: Trace, b: Trace, what: string): void => {
    const point = firstDifference(a, b);
    if (point) failures.push(`bits: ${what} differs from ${base}, in ${dialect}, from ${point} on`);
  };
  const prefix = ids.slice(0, PREFIX);
  for (const dialect of dialects) {
    const head = await run(path, dialect, prefix);
    for (const other of others) same(dialect, head, await run(join(folder, other), dialect, prefix), other);
    for (const size of [1, 7])
      same(dialect, head, await run(path, dialect, prefix, size), `chunks of ${size}`);
  }
  const dialect = dialects[seed % dialects.length]!;
  const whole = runs.get(dialect)!;
  const size = 1 + ((seed * 37) % 97);
  same(dialect, whole, await run(path, dialect, ids, size), `chunks of ${size}`);
  same(dialect, asStored(whole), await runCommand(folder, path, dialect, ids), "the command's trace");
}

/** The verdict on the bf16 dialects' own runs. */
function checkPooled(): boolean {
  const [all, middle] = [new Worst(), new Worst()];
  const median = (list: number[]): number => list.sort((a, b) => a - b)[list.length >> 1]!;
  for (const [kind, { ours, bf16 }] of pooled) {
    all.note(Math.sqrt(quotient(sum(ours), sum(bf16))), kind);
    middle.note(Math.sqrt(quotient(median(ours), median(bf16))), kind);
  }
  const show = ({ value, where }: Worst): string => value.toFixed(3) + (where && ` (${where})`);
  console.log(`run, all seeds: ${show(all)}; in the median token ${show(middle)}`);
  return middle.value <= LIMITS.run;
}

const torch = new PyTorch(options.python);
console.log("      seed  f32      f64      ops    run    greedy layouts  shape");
let failed = 0;
for (let seed = Number(options.first); seed < Number(options.first) + Number(options.seeds); seed++) {
  const folder = options.keep
    ? join(options.keep, `${seed}`)
    : await mkdtemp(join(tmpdir(), "check-pytorch-"));
  try {
    if (!(await check(seed, torch, folder))) failed++;
  } catch (error) {
    failed++;
    console.log(`FAIL  ${String(seed).padStart(4)}  ${(error as Error).message}`);
  }
  if (!options.keep) await rm(folder, { recursive: true, force: true });
}
torch.close();
if (!checkPooled() || failed > 0) process.exitCode = 1;
