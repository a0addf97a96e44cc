import { writeFile } from "node:fs/promises";
import { SingleBar } from "cli-progress";
import { type Command, Option } from "commander";
import { type OpenCheckpoint, openCheckpoint } from "../checkpoint/open.ts";
import type { HostTensor } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import type { DialectName } from "../numerics/dialects.ts";
import { type Candidate, type Diagnosis, diagnose, Laboratory } from "../oracle/diagnose.ts";
import { readAnyTrace } from "../oracle/formats/index.ts";
import { type Mutant, mutantsMatching } from "../oracle/mutants/index.ts";
import { promptToShowAll } from "../oracle/mutants/prompt.ts";
import { byteSize, integer, modelPath, readIds } from "./arguments.ts";
import { table } from "./terminal.ts";

export function register(program: Command): void {
  program
    .command("diagnose")
    .description("which known bug explains another runtime's logits; exit status 1 unless they are right")
    .argument("[model]", "checkpoint folder or .gguf file that both ran")
    .argument("[theirs]", "trace file with their logits (and ids), of all tokens or the last ones")
    .option("--ids <file>", "the prompt's token ids, where their file has none")
    .option("--mutants <glob>", "bugs to try, such as 'window-*,sinks-*'", "*")
    .addOption(
      new Option(
        "--precision <name>",
        "what they compute in (default: what their file says, or any)",
      ).choices(["f32", "bf16", "int8"]),
    )
    .option("--threads <n>", "threads (default: one a processor)", integer(1))
    .option("--memory <size>", "stay within so much memory, as 12GiB", byteSize)
    .option("--prompt <file>", "write a prompt that can show every bug, and stop")
    .option("--list", "list the bugs, and stop")
    .option("--all", "show all candidates that were looked at closely, and all bugs that stay hidden")
    .option("--json", "print the diagnosis as JSON")
    .action(run);
}

interface Options {
  ids?: string;
  mutants: string;
  precision?: string;
  threads?: number;
  memory?: number;
  prompt?: string;
  list?: boolean;
  all?: boolean;
  json?: boolean;
}

async function run(model: string | undefined, theirs: string | undefined, options: Options): Promise<void> {
  const mutants = mutantsMatching(options.mutants);
  if (mutants.length === 0)
    throw new UsageError("no bug has such a name", { where: options.mutants, hint: "--list lists them." });
  if (options.list) return list(mutants, options.json ?? false);
  const checkpoint = await openCheckpoint(modelPath(model));
  try {
    await withCheckpoint(checkpoint, theirs, mutants, options);
  } finally {
    await checkpoint.close();
  }
}

async function withCheckpoint(
  checkpoint: OpenCheckpoint,
  theirs: string | undefined,
  mutants: readonly Mutant[],
  options: Options,
): Promise<void> {
  if (options.prompt !== undefined) {
    const ids = promptToShowAll(checkpoint.config);
    await writeFile(options.prompt, `${JSON.stringify({ ids })}\n`);
    console.log(
      `${ids.length} ids in ${options.prompt}: run them in one pass, and keep the logits of all tokens`,
    );
    return;
  }
  if (theirs === undefined) throw new UsageError("no logits to diagnose", { expected: "MODEL THEIRS" });
  const { trace, metadata } = await readAnyTrace(theirs);
  const logits = trace.get("logits");
  if (!logits)
    throw new UsageError("the file has no logits", { where: theirs, expected: "a tensor `logits`" });
  const ids = options.ids !== undefined ? await readIds(options.ids) : idsOf(trace.get("ids"), theirs);
  const engine = {
    ...(options.threads !== undefined && { threads: options.threads }),
    ...(options.memory !== undefined && { memory: options.memory }),
  };
  await using laboratory = new Laboratory(checkpoint, ids, engine);
  const dialects = dialectsOf(options.precision ?? metadata.get("dtype") ?? metadata.get("dialect"));
  const progress = progressBar();
  const diagnosis = await diagnose(laboratory, flattened(logits), {
    mutants,
    onProgress: progress.update,
    ...(dialects && { dialects }),
  }).finally(progress.stop);
  if (options.json) console.log(JSON.stringify(asJson(diagnosis)));
  else console.log(report(diagnosis, options.all ?? false));
  if (diagnosis.verdict !== "correct") process.exitCode = 1;
}

function idsOf(ids: HostTensor | undefined, where: string): number[] {
  if (ids instanceof Object && ids.data.length > 0) return Array.from(ids.data);
  throw new UsageError("the file has no token ids", {
    where,
    hint: "Give them with --ids FILE.json, or put a tensor `ids` beside the logits.",
  });
}

/** A batch of one, or one token's row. */
function flattened({ shape, data }: HostTensor): HostTensor {
  if (shape.length === 1) return { shape: [1, shape[0]!], data };
  if (shape.length === 3 && shape[0] === 1) return { shape: shape.slice(1), data };
  return { shape, data };
}

/** What a statement of precision leaves as possible: float32 excludes all noise but its own. */
function dialectsOf(precision: string | undefined): readonly DialectName[] | undefined {
  return precision !== undefined && /^(f|float)(32|64)$/.test(precision) ? ["f32", "int16"] : undefined;
}

function list(mutants: readonly Mutant[], json: boolean): void {
  if (json) {
    console.log(JSON.stringify(mutants.map(({ change: _, from: __, ...facts }) => facts)));
    return;
  }
  console.log(
    table(
      ["name", "bug"],
      mutants.map(({ name, description }) => [name, description]),
    ),
  );
}

function progressBar(): { update: (done: number, total: number, what: string) => void; stop: () => void } {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const bar = new SingleBar({
    format: "{value} of {total} runs {bar} {eta_formatted} left, {what}",
    clearOnComplete: true,
    hideCursor: true,
    stream: process.stderr,
  });
  let started = false;
  return {
    update: (done, total, what) => {
      if (!started) bar.start(total, 0, { what });
      started = true;
      bar.setTotal(total);
      bar.update(done, { what });
    },
    stop: () => bar.stop(),
  };
}

function asJson({ noise, hidden, ...diagnosis }: Diagnosis): unknown {
  return {
    ...diagnosis,
    bugs: diagnosis.bugs.map((members) =>
      members.map(({ name, description, seen, fix }) => ({ name, description, seen, fix })),
    ),
    candidates: diagnosis.candidates.map((c) => ({ ...c, mutants: c.mutants.map(({ name }) => name) })),
    noise: Object.fromEntries(noise),
    hidden: hidden.map(({ mutant, needsTokens }) => ({ name: mutant.name, needsTokens })),
  };
}

const show = (x: number): string => x.toExponential(1);
const nameOf = (members: readonly Mutant[]): string =>
  members.map(({ name }) => name).join(" + ") || "(the correct model)";

/** The diagnosis as text. */
export function report(diagnosis: Diagnosis, all: boolean): string {
  const { candidates, noise } = diagnosis;
  const lines = [...verdictLines(diagnosis)];
  const shown = all ? candidates : candidates.slice(0, 5);
  if (shown.length > 0) {
    lines.push("", table(["nearest", "#distance", "#nearer than correct", "#of the way"], shown.map(row)));
  }
  const levels = [...noise].map(([dialect, level]) => `${dialect} ${show(level)}`);
  lines.push(
    "",
    `Correct runs stray from the truth by ${levels.join(", ")} (relative rms, median of tokens).`,
  );
  return [...lines, ...hiddenLines(diagnosis, all)].join("\n");
}

function row({ mutants, distance, dialect, contrast }: Candidate): string[] {
  const name = `${nameOf(mutants)}, ${dialect}`;
  if (!contrast || contrast.tokens === 0) return [name, show(distance), "", ""];
  return [name, show(distance), `${Math.round(100 * contrast.nearer)} %`, contrast.way.toFixed(2)];
}

function asNoise(distance: number, noise: number | undefined): string {
  const times = distance / (noise ?? distance);
  return times > 1.5 ? `${times.toFixed(1)} times the noise` : "which is the noise";
}

function verdictLines({ verdict, bugs, precision, distance, firstToken, noise }: Diagnosis): string[] {
  switch (verdict) {
    case "correct":
      return [
        `No bug: theirs strays ${show(distance)} from the correct logits, ${asNoise(distance, precision && noise.get(precision))} of ${precision}.`,
        ...(precision === "f32" ? [] : [`If their arithmetic is float32, say so with --precision f32.`]),
      ];
    case "not-finite":
      return [
        `Theirs has NaN or infinity from token ${firstToken} on, which no correct run has.`,
        "Float16 activations overflow in 120b's last layers; masked tiles multiplied by zero give NaN as well.",
      ];
    case "unknown":
      return [
        `A bug, but none that is known here: theirs strays ${show(distance)} from the correct logits from token ${firstToken ?? 0} on,`,
        "more than noise, and neither a known bug nor a pair of them explains it.",
        "Record more points of theirs, and let `gpt-oss compare` find the first that parts from `gpt-oss trace`.",
      ];
    case "bug": {
      const title = bugs.length > 1 ? "One of these, which these tokens can't tell apart:" : "Found:";
      const facts = ({ name, description, seen, fix }: Mutant): string[] => [
        `  ${name}: ${description}`,
        `    seen: ${seen}`,
        `    fix: ${fix}`,
      ];
      const each = bugs.flatMap((members, i) => [
        ...(i > 0 ? ["or"] : []),
        ...members.flatMap((mutant, j) => [...(j > 0 ? ["  and"] : []), ...facts(mutant)]),
      ]);
      return [title, ...each, `What is left beside it is as large as the noise of ${precision}.`];
    }
  }
}

function hiddenLines({ hidden }: Diagnosis, all: boolean): string[] {
  const longer = hidden.filter(({ needsTokens }) => needsTokens !== undefined);
  const lines: string[] = [];
  if (longer.length > 0) {
    const needed = Math.max(...longer.map(({ needsTokens }) => needsTokens!));
    const names = longer.map(({ mutant, needsTokens }) => `${mutant.name} (${needsTokens})`);
    lines.push(
      "",
      `${longer.length} bugs need more tokens, at most ${needed} (--prompt FILE writes enough)${all ? `: ${names.join(", ")}` : ""}`,
    );
  }
  const others = hidden.filter(({ needsTokens }) => needsTokens === undefined);
  if (others.length > 0) {
    const names = others.map(({ mutant }) => mutant.name);
    lines.push(`${others.length} would be lost in the noise or change nothing here: ${names.join(", ")}`);
  }
  return lines;
}
