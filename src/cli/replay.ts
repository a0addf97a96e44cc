import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { load } from "../generation/model.ts";
import { type Continuation, type ContinuedPoint, continueFrom, expertsFromJson } from "../oracle/replay.ts";
import { fitTheirs, type Theirs } from "../oracle/theirs.ts";
import { readTrace, writeTrace } from "../oracle/trace-file.ts";
import { type EngineFlags, loadOptions, modelPath, readText } from "./arguments.ts";
import { readTheirs, type TheirsFlags, theirsFlags } from "./bisect.ts";
import { table } from "./terminal.ts";
import { VERSION } from "./version.ts";

export function register(program: Command): void {
  const command = program
    .command("replay")
    .description(
      "continue from another runtime's activations, and see whether what follows agrees; exit status 1 if it doesn't",
    )
    .argument("<model>", "checkpoint folder or .gguf file that both ran")
    .argument("<theirs>", "the other runtime's trace: safetensors, .npz or a folder of .npy")
    .option(
      "--from <points>",
      "activations to take from theirs, such as layers.3.attn.residual; globs, commas",
    )
    .option("--force-experts [file]", "route as theirs did, or as a JSON file or another trace says")
    .option("--out <file>", "write the replayed activations to a trace");
  theirsFlags(command).action(run);
}

interface Options extends TheirsFlags {
  from?: string;
  forceExperts?: string | true;
  out?: string;
}

async function run(model: string, path: string, options: Options): Promise<void> {
  const { from, forceExperts, out, json } = options;
  if (from === undefined && forceExperts === undefined) {
    throw new UsageError("nothing to replay", { hint: "Give --from POINT, --force-experts, or both." });
  }
  const { theirs, dialect } = await readTheirs(model, path, options);
  const open = (name: EngineFlags["dialect"]) =>
    load(modelPath(model), { ...loadOptions({ ...options, dialect: name }), tokenizer: false });
  let experts: Theirs | undefined;
  if (forceExperts === true) experts = theirs;
  else if (forceExperts !== undefined) {
    await using small = await open(dialect);
    experts = fitTheirs(await readExperts(forceExperts), small.config, theirs.ids);
  }
  const result = await continueFrom(open, theirs, {
    dialect,
    ...(from !== undefined && { from }),
    ...(experts && { experts }),
  });
  if (out !== undefined)
    await writeTrace(out, result.replayed, { dialect, replayed: from ?? "", version: VERSION });
  const { replayed: _, ...summary } = result;
  console.log(json ? JSON.stringify(summary) : report(result, from));
  if (result.firstDiffering) process.exitCode = 1;
}

async function readExperts(path: string): ReturnType<typeof readAsTrace> {
  if (!path.endsWith(".json")) return readAsTrace(path);
  const text = await readText(path, "the expert choices");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new UsageError("not a JSON file", { where: path, found: (cause as Error).message, cause });
  }
  return expertsFromJson(json, path);
}

async function readAsTrace(path: string): Promise<Awaited<ReturnType<typeof readTrace>>["trace"]> {
  return (await readTrace(path)).trace;
}

function report({ points, firstDiffering, dialects, flips }: Continuation, from: string | undefined): string {
  const start = from ?? "their experts";
  const shown = points.filter((p) => p === firstDiffering || SUMMARY.test(p.point));
  const heading = ["point", "#to theirs", "#without replay", "#to ours", "#noise", "verdict"];
  return [
    table(heading, shown.map(row)),
    "",
    flips > 0
      ? `${flips} choices of an expert aren't theirs${from ? ": --force-experts makes them so" : ""}.`
      : "",
    firstDiffering
      ? `Behind ${start}, ${firstDiffering.point} differs: bisect tells which operation it is.`
      : points.some(({ toTheirs }) => toTheirs !== undefined)
        ? `What follows ${start} agrees with theirs up to the noise between ${dialects.join(" and ")}.`
        : `They recorded nothing behind ${start} to compare with.`,
  ]
    .filter((line, i) => line !== "" || i === 1)
    .join("\n");
}

/** Points that tell how errors grow through the model. */
const SUMMARY = /^(norm|logits)$|\.residual$/;

function row({ point, toTheirs, withoutReplay, toOurs, noise, differing }: ContinuedPoint): string[] {
  const number = (x: number | undefined): string => (x === undefined ? "" : x.toExponential(2));
  const verdict =
    toTheirs === undefined
      ? ""
      : differing.length
        ? `differs at ${differing.length} tokens, from ${differing[0]} on`
        : "agrees";
  return [point, number(toTheirs), number(withoutReplay), number(toOurs), number(noise), verdict];
}
