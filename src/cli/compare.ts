import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { openCheckpoint } from "../checkpoint/open.ts";
import type { ModelConfig } from "../config.ts";
import { UsageError } from "../errors.ts";
import { load } from "../generation/model.ts";
import { DIALECTS, type DialectName } from "../numerics/dialects.ts";
import { type Comparison, compare, layersOf } from "../oracle/compare.ts";
import { dialectOf } from "../oracle/dialect-of.ts";
import { type AnyTrace, type ReadAnyOptions, readAnyTrace } from "../oracle/formats/index.ts";
import type { NameMap, ShapeHints } from "../oracle/names.ts";
import { constantFloor, measuredFloor, type NoiseFloor, noiseFloor } from "../oracle/noise-floor.ts";
import { htmlReport } from "../oracle/report/html.ts";
import { jsonReport } from "../oracle/report/json.ts";
import type { Judged, TraceSummary } from "../oracle/report/judged.ts";
import { terminalReport } from "../oracle/report/terminal.ts";
import { conclusion } from "../oracle/report/words.ts";
import { type Trace, trace } from "../oracle/trace.ts";
import { modelPath, number, readText } from "./arguments.ts";
import { table } from "./terminal.ts";

export function register(program: Command): void {
  program
    .command("compare")
    .description("compare two traces point by point; exit status 1 when they differ beyond the noise floor")
    .argument(
      "<a>",
      "trace to judge: safetensors, .npz, a folder of .npy, or what llama.cpp's eval-callback prints",
    )
    .argument("<b>", "trace to judge it by")
    .option("--model <path>", "measure the noise of both dialects with this model, on the very prompt")
    .option("--dialects <a,b>", `what each was computed in, of ${Object.keys(DIALECTS).join(", ")}`)
    .option("--map <file>", 'JSON of their names, as {"h.#.attn": "layers.#.attn.out"}')
    .option(
      "--floor <x>",
      "relative rms error that passes at every point (default: measured)",
      number(0, 1e9),
    )
    .option("--all", "list every point, not the first divergence and a sample")
    .option("--json", "print the comparison as JSON")
    .option("--html <file>", "write a page with a heat map")
    .action(run);
}

interface Options {
  model?: string;
  dialects?: string;
  map?: string;
  floor?: number;
  all?: boolean;
  json?: boolean;
  html?: string;
}

async function run(pathA: string, pathB: string, options: Options): Promise<void> {
  const nameMap = options.map === undefined ? undefined : await readNameMap(options.map);
  const [a, b] = await readBoth(pathA, pathB, nameMap, options.model);
  if (b.sampled.size > 0) throw new UsageError("the second trace has a few values only", { where: pathB, hint: "Give it first, and a whole trace second." }); // biome-ignore format: one thought
  const dialects = askedDialects(options.dialects) ?? [dialectOf(a), dialectOf(b)];
  const names = [dialects[0]!.name, dialects[1]!.name] as const;
  const layers = layersOf(b.trace.keys()).length;
  const floor = await chooseFloor(options, names, layers, b);
  const mantissaBits = names.some((name) => name.startsWith("bf16")) ? 8 : 24;
  const comparison = compare(a.trace, b.trace, floor, { sampled: a.sampled, mantissaBits });
  if (comparison.points.length === 0) throw new UsageError("the files share no trace point", { where: `${pathA}, ${pathB}`, hint: strangers(a, b) }); // biome-ignore format: one thought
  const judged: Judged = {
    comparison,
    a: summary(pathA, a, dialects[0]!),
    b: summary(pathB, b, dialects[1]!),
    conclusion: conclusion(comparison),
  };
  if (options.html !== undefined) await writeFile(options.html, htmlReport(judged, b.trace.get("ids")?.data));
  console.log(
    options.json ? JSON.stringify(jsonReport(judged)) : terminalReport(judged, options.all ?? false, table),
  );
  if (comparison.firstDivergence) process.exitCode = 1;
}

/** Each file may tell the sizes that the other lacks. */
async function readBoth(
  pathA: string,
  pathB: string,
  nameMap: NameMap | undefined,
  model: string | undefined,
): Promise<[AnyTrace, AnyTrace]> {
  const configured = model === undefined ? {} : sizesOf(await configOf(model));
  const read = (path: string, known: ShapeHints): Promise<AnyTrace> => {
    const options: ReadAnyOptions = { hints: { ...known, ...configured }, ...(nameMap && { nameMap }) };
    return readAnyTrace(path, options);
  };
  const b = await read(pathB, {});
  const a = await read(pathA, sizesIn(b.trace));
  return b.convention === "ours" ? [a, b] : [a, await read(pathB, sizesIn(a.trace))];
}

async function configOf(path: string): Promise<ModelConfig> {
  const checkpoint = await openCheckpoint(modelPath(path));
  await checkpoint.close();
  return checkpoint.config;
}

/** What a trace may not tell of a model's shape. */
export function sizesOf(config: ModelConfig): ShapeHints {
  return {
    heads: config.numAttentionHeads,
    kvHeads: config.numKeyValueHeads,
    headDim: config.headDim,
    layers: config.numLayers,
  };
}

function sizesIn(trace: Trace): ShapeHints {
  const [q, k] = ["q", "k"].map(
    (name) => trace.get(`layers.0.attn.${name}`) ?? trace.get(`layers.0.attn.${name}_rope`),
  );
  if (q?.shape.length !== 3 || k?.shape.length !== 3) return {};
  return { heads: q.shape[1]!, kvHeads: k.shape[1]!, headDim: q.shape[2]! };
}

function askedDialects(text: string | undefined): { name: string; guessed: boolean }[] | undefined {
  if (text === undefined) return undefined;
  const names = text.split(",").map((name) => name.trim());
  if (names.length !== 2 || !names.every((name) => Object.hasOwn(DIALECTS, name)))
    throw new UsageError("--dialects takes two dialects", {
      expected: Object.keys(DIALECTS).join(", "),
      found: text,
    });
  return names.map((name) => ({ name, guessed: false }));
}

async function chooseFloor(
  { floor, model }: Options,
  dialects: readonly [string, string],
  layers: number,
  b: AnyTrace,
): Promise<NoiseFloor> {
  if (floor !== undefined) return constantFloor(floor);
  const measured = noiseFloor(...dialects, layers);
  if (model === undefined) return measured;
  const ids = b.trace.get("ids")?.data;
  if (!ids)
    throw new UsageError("no token ids in the second trace", {
      hint: "--model runs the prompt: the trace needs `ids`.",
    });
  const runs: Comparison[] = [];
  const traces: Trace[] = [];
  for (const dialect of new Set(["f64", ...dialects])) {
    await using loaded = await load(modelPath(model), { dialect: dialect as DialectName, tokenizer: false });
    const other = await trace(loaded.transformer, Array.from(ids));
    for (const before of traces) runs.push(compare(other, before, UNJUDGED));
    traces.push(other);
  }
  return measuredFloor(runs, measured, model);
}

/** Runs that define the noise are not judged by it. */
const UNJUDGED: NoiseFloor = {
  dialects: ["", ""],
  source: "",
  flipShare: 1,
  step: () => undefined,
  unit: 0,
  at: () => ({ median: Number.MAX_VALUE, clean: Number.MAX_VALUE, downstream: Number.MAX_VALUE }),
};

function summary(
  path: string,
  { format, convention, unknown }: AnyTrace,
  dialect: { name: string; guessed: boolean },
): TraceSummary {
  return { path, format, convention, dialect: dialect.name, dialectGuessed: dialect.guessed, unknown };
}

function strangers(a: AnyTrace, b: AnyTrace): string {
  const unknown = [...a.unknown, ...b.unknown];
  return unknown.length === 0
    ? "Were they recorded at different points?"
    : `Unknown names such as ${unknown[0]} can be told with --map.`;
}

/** Their names of our points, from a JSON file. */
export async function readNameMap(path: string): Promise<NameMap> {
  const text = await readText(path, "the names");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new UsageError("not a JSON file", { where: path, found: (cause as Error).message, cause });
  }
  const isMap =
    typeof json === "object" &&
    json !== null &&
    !Array.isArray(json) &&
    Object.values(json).every((name) => typeof name === "string");
  if (!isMap)
    throw new UsageError("not a map of names", { where: path, expected: '{"their name": "our point"}' });
  return json as NameMap;
}
