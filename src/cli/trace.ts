import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import { checkpointDigest } from "../checkpoint/open.ts";
import { UsageError } from "../errors.ts";
import { load } from "../generation/model.ts";
import { trace } from "../oracle/trace.ts";
import { writeTrace } from "../oracle/trace-file.ts";
import { type EngineFlags, engineFlags, loadOptions, modelPath, readIds } from "./arguments.ts";
import { VERSION } from "./version.ts";

export function register(program: Command): void {
  const command = program
    .command("trace")
    .description("run a model on token ids and write its activations to a safetensors file")
    .argument("<model>", "checkpoint folder or .gguf file")
    .requiredOption("--ids <file>", "token ids from a JSON file")
    .requiredOption("--out <file>", "trace to write")
    .option("--points <glob>", "trace points to record, such as layers.*.moe.residual,logits", "*");
  engineFlags(command).option("--json", "print a summary as JSON").action(run);
}

interface Options extends EngineFlags {
  ids: string;
  out: string;
  points: string;
  json?: boolean;
}

async function run(path: string, options: Options): Promise<void> {
  const ids = await readIds(options.ids);
  await checkFolder(options.out);
  await using model = await load(modelPath(path), { ...loadOptions(options), tokenizer: false });
  const recorded = await trace(model.transformer, ids, { points: options.points });
  await writeTrace(options.out, recorded, {
    dialect: options.dialect,
    engine: model.transformer.ops.engine,
    checkpoint: await checkpointDigest(model.checkpoint),
    version: VERSION,
  });
  const summary = {
    out: options.out,
    points: recorded.size - 1,
    tokens: ids.length,
    dialect: options.dialect,
  };
  if (options.json) console.log(JSON.stringify(summary));
  else console.log(`${summary.points} points of ${ids.length} tokens in ${options.out} (${options.dialect})`);
}

/** A long run should not end in a file that can't be written. */
async function checkFolder(file: string): Promise<void> {
  const folder = dirname(resolve(file));
  const found = await stat(folder).catch(() => undefined);
  if (!found?.isDirectory())
    throw new UsageError("no such folder", { where: folder, hint: "Make it first." });
}
