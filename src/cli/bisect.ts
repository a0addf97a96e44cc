import type { Command } from "commander";
import { openCheckpoint } from "../checkpoint/open.ts";
import { UsageError } from "../errors.ts";
import { load } from "../generation/model.ts";
import type { DialectName } from "../numerics/dialects.ts";
import { type Bisection, bisect, type Finding, pointsToCapture } from "../oracle/bisect.ts";
import { dialectOf } from "../oracle/dialect-of.ts";
import { type AnyTrace, readAnyTrace } from "../oracle/formats/index.ts";
import { fitTheirs, type Theirs } from "../oracle/theirs.ts";
import { type EngineFlags, engineFlags, loadOptions, modelPath, readIds } from "./arguments.ts";
import { readNameMap, sizesOf } from "./compare.ts";
import { table } from "./terminal.ts";

export function register(program: Command): void {
  const command = program
    .command("bisect")
    .description(
      "find the operations of another runtime that differ from ours when they get its own inputs; exit status 1 if some do",
    )
    .argument("<model>", "checkpoint folder or .gguf file that both ran")
    .argument("<theirs>", "the other runtime's trace: safetensors, .npz or a folder of .npy");
  theirsFlags(command).option("--all", "list every operation, not only those that differ").action(run);
}

/** The options of the commands that compute with another runtime's activations. */
export function theirsFlags(command: Command): Command {
  return engineFlags(command, { dialect: "nearest to theirs" })
    .option("--ids <file>", "token ids from a JSON file, where the trace has none")
    .option("--map <file>", 'JSON of their names, as {"h.#.attn": "layers.#.attn.out"}')
    .option("--json", "print the result as JSON");
}

export interface TheirsFlags extends Omit<EngineFlags, "dialect"> {
  dialect?: EngineFlags["dialect"];
  ids?: string;
  map?: string;
  json?: boolean;
}

/** Reads another runtime's trace, and says with which dialect to compare it. */
export async function readTheirs(
  model: string,
  path: string,
  flags: TheirsFlags,
): Promise<{ theirs: Theirs; dialect: EngineFlags["dialect"]; file: AnyTrace }> {
  const checkpoint = await openCheckpoint(modelPath(model));
  await checkpoint.close();
  const file = await readAnyTrace(path, {
    hints: sizesOf(checkpoint.config),
    ...(flags.map !== undefined && { nameMap: await readNameMap(flags.map) }),
  });
  if (file.sampled.size > 0) {
    throw new UsageError("a few values of each activation are too little to compute with", {
      where: path,
      hint: "gpt-oss compare takes them; for this, dump whole tensors.",
    });
  }
  const ids = flags.ids === undefined ? undefined : await readIds(flags.ids);
  return {
    theirs: fitTheirs(file.trace, checkpoint.config, ids),
    dialect: flags.dialect ?? (dialectOf(file).name as DialectName),
    file,
  };
}

async function run(model: string, path: string, flags: TheirsFlags & { all?: boolean }): Promise<void> {
  const { theirs, dialect, file } = await readTheirs(model, path, flags);
  const open = (name: EngineFlags["dialect"]) =>
    load(modelPath(model), { ...loadOptions({ ...flags, dialect: name }), tokenizer: false });
  const result = await bisect(open, theirs, dialect);
  if (flags.json) console.log(JSON.stringify(withoutLongLists(result)));
  else console.log(report(result, { model, path, all: flags.all ?? false, names: file.names }));
  if (result.first || result.findings.every(({ verdict }) => verdict === "unjudged")) process.exitCode = 1;
}

/** Numbers of tokens are for people; a machine gets the first ones. */
function withoutLongLists(result: Bisection): object {
  const short = (f: Finding): object => ({ ...f, differing: f.tokens.length, tokens: f.tokens.slice(0, 20) });
  return {
    ...result,
    findings: result.findings.map(short),
    ...(result.first && { first: short(result.first) }),
  };
}

interface Shown {
  readonly model: string;
  readonly path: string;
  readonly all: boolean;
  /** Their name of each of our points. */
  readonly names: ReadonlyMap<string, string>;
}

function report(result: Bisection, { model, path, all, names }: Shown): string {
  const { findings, first, tokens, dialect, ignored } = result;
  const lines: string[] = [];
  for (const { point, reason } of ignored.slice(0, 5)) lines.push(`ignored: ${point}, ${reason}`);
  if (ignored.length > 5) lines.push(`ignored: ${ignored.length - 5} more`);
  const differing = findings.filter(({ verdict }) => verdict === "differs");
  const shown = all ? findings : differing;
  if (shown.length > 0) {
    lines.push(table(["operation", "point", "#error", "#noise", "verdict"], shown.map(row)), "");
  }
  const unjudged = findings.filter(({ verdict }) => verdict === "unjudged").length;
  lines.push(
    `${findings.length} activations of ${tokens} tokens, each recomputed from theirs: ` +
      `${findings.length - differing.length - unjudged} agree, ${differing.length} differ` +
      `${unjudged ? `, ${unjudged} can't be judged` : ""} (truth f64, noise of ${dialect}).`,
  );
  return [...lines, ...advice(first, findings, { model, path, names })].join("\n");
}

/** What to do next. */
function advice(
  first: Finding | undefined,
  findings: readonly Finding[],
  { model, path, names }: Omit<Shown, "all">,
): string[] {
  if (first) {
    const { op, point, from, between, tokens, judged, suspects } = first;
    const own = names.get(point) ?? point;
    const name = own === point ? point : `${point}, yours ${own}`;
    const where = `${tokens.length} of ${judged} tokens, from ${tokens[0]} on`;
    if (between.length > 0) {
      return [
        `First difference: ${placeOf(point)}, between their ${from.join(" and ")} and ${point}: ${where}.`,
        `Next: capture ${pointsToCapture(first)} in your runtime, and bisect again.`,
      ];
    }
    return [
      `First difference: ${op} (${name}), given their ${from.join(" and ")}: ${where}.`,
      ...(suspects ? [`Seen there in other runtimes: ${suspects}.`] : []),
      `Next: gpt-oss diagnose ${model} ${path}`,
    ];
  }
  const open = findings.filter(({ verdict }) => verdict === "unjudged");
  if (open.length > 0) {
    return [
      `Near ties of the router keep ${open
        .map(({ point }) => point)
        .slice(0, 3)
        .join(", ")} from being judged.`,
      "Next: capture layers.*.moe.expert_ids and layers.*.residual in your runtime, and bisect again.",
    ];
  }
  const last = findings.at(-1)!.point;
  return [
    last === "logits"
      ? "No operation differs: what is left between the logits is rounding, and near ties of the router that it decides."
      : `No operation differs up to ${last}; they recorded nothing behind it.`,
    last === "logits"
      ? `Next: gpt-oss compare ${path} OURS`
      : "Next: capture norm,logits in your runtime, too.",
  ];
}

/** The half layer that a point closes, or the whole that the last ones do. */
function placeOf(point: string): string {
  const [, layer, half] = /^layers\.(\d+)\.(attn|moe)\./.exec(point) ?? [];
  if (layer === undefined) return "the model";
  return `${half === "attn" ? "attention" : "experts"} of layer ${layer}`;
}

function row({ op, point, error, noise, verdict, tokens, judged, between, ties }: Finding): string[] {
  const what =
    verdict === "differs" ? `differs at ${tokens.length} of ${judged} tokens, from ${tokens[0]} on` : verdict;
  const note = ties ? ` (${ties} near ties)` : "";
  return [
    between.length > 0 ? `${placeOf(point)}, ${between.length + 1} steps` : op,
    point,
    error === Number.POSITIVE_INFINITY ? "∞" : error.toExponential(1),
    noise.toExponential(1),
    what + note,
  ];
}
