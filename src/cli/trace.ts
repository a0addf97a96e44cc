import type { Command } from "commander";
import { checkpointDigest } from "../checkpoint/open.ts";
import { load } from "../generation/model.ts";
import type { DialectName } from "../numerics/dialects.ts";
import { trace } from "../oracle/trace.ts";
import { writeTrace } from "../oracle/trace-file.ts";
import { dialectOption, modelPath, readIds } from "./arguments.ts";
import { VERSION } from "./version.ts";

export function register(program: Command): void {
  program
    .command("trace")
    .description("run a model on token ids and write its activations to a safetensors file")
    .argument("<model>", "checkpoint folder or .gguf file")
    .requiredOption("--ids <file>", "token ids from a JSON file")
    .requiredOption("--out <file>", "trace to write")
    .option("--points <glob>", "trace points to record, such as layers.*.moe.residual,logits", "*")
    .addOption(dialectOption())
    .option("--json", "print a summary as JSON")
    .action(run);
}

interface Options {
  ids: string;
  out: string;
  points: string;
  dialect: DialectName;
  json?: boolean;
}

async function run(path: string, options: Options): Promise<void> {
  const ids = await readIds(options.ids);
  await using model = await load(modelPath(path), { dialect: options.dialect, tokenizer: false });
  const recorded = await trace(model.transformer, ids, { points: options.points });
  await writeTrace(options.out, recorded, {
    dialect: options.dialect,
    engine: "reference",
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
