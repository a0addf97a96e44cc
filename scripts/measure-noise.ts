/**
 * Measures how far correct runs of each dialect lie from the truth, float64, and writes src/oracle/noise-table.ts.
 *
 *     npm run build && npx tsx scripts/measure-noise.ts --python PATH [--seeds N] [--layers N] [--tokens N] [--out FILE]
 *
 * Runs: the trained checkpoint of golden/small on text, golden/model, and random checkpoints of many layers by
 * scripts/golden/checkpoint.py on random tokens. Each in this library's dialects, and by PyTorch in float32 and bfloat16, whose
 * matrix products add in another order (needs the packages of scripts/golden/README.md). golden/width20b's manifest adds what
 * PyTorch strays at gpt-oss-20b's width. Of each point the largest figure over all runs is kept, by depth, and made to
 * grow with depth, which a short measurement may miss. At the end it says how close each pair of runs came to the floor of its
 * two dialects, times the factor: above 1 the table would call a correct run wrong.
 */
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { load } from "../src/generation/model.ts";
import type { DialectName } from "../src/numerics/dialects.ts";
import { type Comparison, compare, type PointDistance } from "../src/oracle/compare.ts";
import {
  groupOf,
  type Measured,
  type NoiseFloor,
  type NoiseTable,
  noiseFloor,
} from "../src/oracle/noise-floor.ts";
import { stepsOf } from "../src/oracle/steps.ts";
import { type Trace, trace } from "../src/oracle/trace.ts";
import { readTrace } from "../src/oracle/trace-file.ts";
import { PyTorch } from "./pytorch.ts";

const text = (value: string) => ({ type: "string", default: value }) as const;
const { values: options } = parseArgs({
  options: {
    ...{ seeds: text("1"), layers: text("24"), tokens: text("96") },
    python: text(process.env["PYTHON"] ?? "python3"),
    out: text(fileURLToPath(new URL("../src/oracle/noise-table.ts", import.meta.url))),
  },
});
const FACTOR = 3;
const DEPTHS = [0, 1, 2, 3, 5, 8, 12, 17, 23].filter((depth) => depth < Number(options.layers));
const golden = (path: string): string => fileURLToPath(new URL(`../golden/${path}`, import.meta.url));

/** A run that everybody makes: dialect, and the PyTorch package and type for its own. */
const RUNS: readonly (readonly [DialectName, ("openai" | "transformers")?, string?])[] = [
  ["f32"], ["bf16-openai"], ["bf16-hf"], ["int16"], ["int8"],
  ["f32", "openai", "float32"], ["f32", "transformers", "float32"],
  ["bf16-openai", "openai", "bfloat16"], ["bf16-hf", "transformers", "bfloat16"],
]; // biome-ignore format: a table

/** What a dialect rounds away: about the rms of its rounding of one value, or of one product for the integer ones. */
const UNITS: Readonly<Record<DialectName, number>> = {
  f64: 2e-8,
  f32: 1e-7,
  "bf16-openai": 2e-3,
  "bf16-hf": 2e-3,
  int16: 1e-5,
  int8: 3e-3,
};

/** Nothing is judged while measuring: only flips that a correct run can't have would be. */
function anything(a: DialectName, b: DialectName): NoiseFloor {
  return {
    dialects: [a, b],
    source: "",
    flipShare: 1,
    at: () => ({ median: Infinity, clean: Number.MAX_VALUE, downstream: Number.MAX_VALUE }),
    unit: Math.hypot(UNITS[a], UNITS[b]),
    step: () => undefined,
  };
}

interface Subject {
  readonly name: string;
  readonly path: string;
  readonly ids: readonly number[];
}

const folder = await mkdtemp(join(tmpdir(), "measure-noise-"));
const torch = new PyTorch(options.python);
const figures = new Map<string, Map<string, number[][]>>(); // dialect → group → kind → depth
const steps = new Map<string, Map<string, [number, number]>>(); // dialect → group → median, worst
const flipShares = new Map<string, number>();
const compared: ({ name: string; a: DialectName; b: DialectName; layers: number } & Kept)[] = [];
try {
  for (const subject of await subjects()) await measure(subject);
} finally {
  torch.close();
  await rm(folder, { recursive: true, force: true });
}
await addWidth20b();
await write();
check();

async function subjects(): Promise<Subject[]> {
  const tokens = Number(options.tokens);
  const list: Subject[] = [];
  const small = await load(golden("small"), { dialect: "f32" });
  const readme = await readFile(golden("small/README.md"), "utf8");
  for (const [i, from] of [0, 3000].entries()) {
    const ids = small.requireTokenizer().encode(readme.slice(from)).slice(0, tokens);
    list.push({ name: `small, text ${i + 1}`, path: golden("small"), ids });
  }
  await small.close();
  const { ids } = JSON.parse(await readFile(golden("model/ids.json"), "utf8")) as { ids: number[] };
  list.push({ name: "golden/model", path: golden("model/checkpoint"), ids: ids.slice(0, tokens) });
  for (let seed = 1; seed <= Number(options.seeds); seed++) {
    const out = join(folder, `seed${seed}`);
    const script = fileURLToPath(new URL("golden/checkpoint.py", import.meta.url));
    execFileSync(options.python, [script, "--out", out, "--seed", `${seed}`, "--layers", options.layers], {
      stdio: "ignore",
    });
    const random = Array.from(
      { length: tokens },
      (_, i) => (i * 7919 + seed * 104729 + ((i * i) % 31) * 17) % 200,
    );
    list.push({ name: `${options.layers} layers, seed ${seed}`, path: join(out, "hf"), ids: random });
  }
  return list;
}

async function measure({ name, path, ids }: Subject): Promise<void> {
  const truth = await run(path, "f64", ids);
  const runs: [DialectName, Trace, string | undefined][] = [];
  for (const [dialect, source, dtype] of RUNS) {
    const start = performance.now();
    let other: Trace;
    if (source) {
      const out = join(folder, "trace.safetensors");
      await torch.run({ do: "trace", model: path, ids, source, dtype, out });
      other = (await readTrace(out)).trace;
    } else other = await run(path, dialect, ids);
    const comparison = compare(other, truth, anything(dialect, "f64"));
    note(dialect, comparison);
    // each dialect by two programs, and every dialect by this library's
    const others = runs.filter(([b, , from]) => (source ? b === dialect : from === undefined));
    for (const [b, trace] of others) {
      const pair = slim(compare(other, trace, anything(dialect, b)), trace, dialect, b);
      compared.push({ name, a: dialect, b, layers: layersOf(truth), ...pair });
      // where two dialects round alike, as both of bfloat16 do up to the softmax, an operation that they round differently adds more
      // to its inputs' errors than either does to those against the truth
      for (const each of [dialect, b])
        for (const { key, median, worst } of pair.steps) noteStep(each, key, median, worst);
    }
    const against = slim(comparison, truth, dialect, "f64");
    for (const { key, median, worst } of against.steps) noteStep(dialect, key, median, worst);
    compared.push({ name, a: dialect, b: "f64", layers: layersOf(truth), ...against });
    runs.push([dialect, other, source]);
    const last = comparison.points.at(-2)?.noise;
    console.log(
      `${name}: ${source ?? "ours"} ${dialect}: norm ${last?.median.toExponential(1)} ${last?.clean.toExponential(1)} ${last?.downstream.toExponential(1)}, ${comparison.routing.flips.length} of ${comparison.routing.compared} flipped, ${((performance.now() - start) / 1000).toFixed(1)} s`,
    );
  }
}

function layersOf(trace: Trace): number {
  return [...trace.keys()].filter((point) => point.endsWith("attn.norm")).length;
}

/** What is kept of a comparison: not the tokens' errors, of which many would not fit into memory, but every way of every step. */
interface Kept {
  readonly points: readonly Pick<PointDistance, "point" | "noise">[];
  readonly steps: readonly { point: string; key: string; median: number; worst: number }[];
}

function slim({ points, routing }: Comparison, b: Trace, dialectA: DialectName, dialectB: DialectName): Kept {
  const byName = new Map(points.map((point) => [point.point, point]));
  const unit = Math.hypot(UNITS[dialectA], UNITS[dialectB]);
  const layers = layersOf(b);
  const every = points.flatMap((point) => {
    const found = [...stepsOf(point, byName, b, layers, unit, routing)];
    return found.map(({ key, median, worst }) => ({ point: point.point, key, median, worst }));
  });
  return { points: points.map(({ point, noise }) => ({ point, ...(noise && { noise }) })), steps: every };
}

async function run(path: string, dialect: DialectName, ids: readonly number[]): Promise<Trace> {
  await using model = await load(path, { dialect, tokenizer: false });
  return await trace(model.transformer, ids);
}

function note(dialect: string, { points, routing }: Comparison): void {
  const layers = points.filter(({ point }) => point.endsWith("attn.norm")).length;
  for (const { point, noise } of points) {
    if (!noise) continue;
    const { group, layer = group === "embedding" ? 0 : layers } = groupOf(point);
    const index = DEPTHS.findLastIndex((depth) => depth <= layer);
    const figures = [noise.median, noise.clean, Math.max(noise.downstream, noise.clean)];
    for (const [kind, value] of figures.entries()) keep(dialect, group, kind, index, value);
  }
  if (routing.compared > 0)
    flipShares.set(dialect, Math.max(flipShares.get(dialect) ?? 0, routing.flips.length / routing.compared));
}

function noteStep(dialect: string, group: string, median: number, worst: number): void {
  const groups = steps.get(dialect) ?? new Map<string, [number, number]>();
  const before = groups.get(group) ?? [0, 0];
  groups.set(group, [Math.max(before[0], median), Math.max(before[1], worst)]);
  steps.set(dialect, groups);
}

function keep(dialect: string, group: string, kind: number, index: number, value: number): void {
  const groups = figures.get(dialect) ?? new Map<string, number[][]>();
  const kinds = groups.get(group) ?? [0, 1, 2].map(() => DEPTHS.map(() => 0));
  kinds[kind]![index] = Math.max(kinds[kind]![index]!, value);
  groups.set(group, kinds);
  figures.set(dialect, groups);
}

/** PyTorch's distances at the real width: over all tokens and in the median one. The worst token is three times the former. */
async function addWidth20b(): Promise<void> {
  type Distances = Record<string, Record<string, { all: number; median_token: number }>>;
  const { distances } = JSON.parse(await readFile(golden("width20b/manifest.json"), "utf8")) as {
    distances: Distances;
  };
  for (const [pair, groups] of Object.entries(distances)) {
    const source = /^(f32|bf16-openai|bf16-transformers)\S* to f64$/.exec(pair)?.[1];
    if (!source) continue;
    for (const [group, { all, median_token }] of Object.entries(groups)) {
      const index = /^(embedding|attn)/.test(group) ? 0 : 1;
      for (const [kind, value] of [median_token, 3 * all, 3 * all].entries())
        keep(source.replace("transformers", "hf"), group, kind, index, value);
    }
  }
}

/** Figures grow with depth, and no worst token is better than the median. */
function table(): Record<string, Measured> {
  const result: Record<string, Measured> = { f64: { flipShare: 0, unit: UNITS.f64, steps: {}, points: {} } };
  for (const [dialect, groups] of figures) {
    const points: Record<string, number[][]> = {};
    for (const [group, kinds] of groups) {
      const rising = kinds.map((row) => row.map((_, i) => Math.max(...row.slice(0, i + 1))));
      const flat =
        /^(embedding|norm|logits)$/.test(group) &&
        rising.every((row) => row.slice(0, -1).every((x) => x === 0));
      points[group] = rising.map((row) => (flat ? row.slice(-1) : row).map((x) => Number(x.toPrecision(2))));
    }
    const rounded = [...steps.get(dialect)!].map(
      ([group, pair]) => [group, pair.map((x) => Number(x.toPrecision(2)))] as const,
    );
    const flipShare = Number((flipShares.get(dialect) ?? 0).toPrecision(2));
    result[dialect] = {
      flipShare,
      unit: UNITS[dialect as DialectName],
      steps: Object.fromEntries(rounded),
      points,
    };
  }
  return result;
}

async function write(): Promise<void> {
  const source = `// Made by scripts/measure-noise.ts; not to be edited.
import type { Measured } from "./noise-floor.ts";

/**
 * Distances of correct runs from float64, relative rms: for each dialect and kind of point the median token, the worst token that no
 * routing flip has touched, and the worst that one has through attention, by depth. Measured on golden/small (two texts), golden/model and
 * ${options.seeds === "1" ? "a random checkpoint" : `${options.seeds} random checkpoints`} of ${options.layers} layers by scripts/golden/checkpoint.py, ${options.tokens} tokens each, as
 * computed by this library and by PyTorch (gpt-oss 0.0.9, transformers 5.24.0), with golden/width20b's manifest for the real width.
 */
export const NOISE: Readonly<Record<string, Measured>> = ${JSON.stringify(table())};

/** Layers that the figures belong to. */
export const MEASURED_DEPTHS: readonly number[] = ${JSON.stringify(DEPTHS)};

/** What the largest distance that was measured is multiplied with, for prompts and checkpoints that were not. */
export const FACTOR = ${FACTOR};
`;
  await writeFile(options.out, source);
  if (options.out.includes("/src/"))
    execFileSync("npx", ["biome", "check", "--write", options.out], { stdio: "ignore" });
}

/** How near each pair of correct runs comes to the floors of its two dialects. */
function check(): void {
  const worst = new Map<string, { ratio: number; where: string }>();
  const fresh: NoiseTable = { noise: table(), depths: DEPTHS };
  for (const { name, a, b, layers, points, steps: every } of compared) {
    const floor = noiseFloor(a, b, layers, fresh);
    const pair = [a, b].sort().join(" and ");
    const note = (kind: string, ratio: number, where: string): void => {
      const key = `${kind}, ${pair}`;
      if (ratio > (worst.get(key)?.ratio ?? 0)) worst.set(key, { ratio, where });
    };
    for (const { point, noise } of points) {
      if (!noise) continue;
      const limit = floor.at(point);
      for (const kind of ["median", "clean", "downstream"] as const)
        note("points", noise[kind] / limit[kind], `${kind} of ${point}, ${name}`);
    }
    for (const { point, key, ...step } of every) {
      const limit = floor.step(key)!;
      for (const kind of ["median", "worst"] as const)
        note("steps", step[kind] / limit[kind], `${kind} of ${point} (${key}), ${name}`);
    }
  }
  for (const [key, { ratio, where }] of [...worst].sort((x, y) => y[1].ratio - x[1].ratio))
    console.log(`${key}: at most ${ratio.toFixed(2)} of the floor (${where})`);
}
