import { join } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import { UsageError } from "../errors.ts";
import { load } from "../generation/model.ts";
import type { DialectName } from "../numerics/dialects.ts";
import { commandRuntime } from "../oracle/conformance/command.ts";
import { GOLDEN } from "../oracle/conformance/goldens.ts";
import { conformance } from "../oracle/conformance/index.ts";
import { modelRuntime } from "../oracle/conformance/own.ts";
import { conformanceText } from "../oracle/conformance/report.ts";
import {
  type ConformanceReport,
  LEVELS,
  type Level,
  PRECISIONS,
  type Precision,
} from "../oracle/conformance/runtime.ts";
import { number } from "./arguments.ts";

export function register(program: Command): void {
  program
    .command("conformance")
    .description(
      "hold another runtime, behind a command, against the conformance pack; exit status 1 where it fails",
    )
    .option("--run <command>", "what answers requests as JSON Lines (default: this package's own engine)")
    .option(
      "--levels <list>",
      "1 logits, 2 activations, 3 tokenizer, 4 Harmony, 5 cache and batches (default: 1)",
      levelList,
    )
    .addOption(new Option("--precision <name>", "what it computes in").choices(PRECISIONS).default("float32"))
    .option("--timeout <seconds>", "longest wait for an answer", number(0.1, 86400), 120)
    .option("--golden <folder>", "another pack than the one that comes along", GOLDEN)
    .option("--all", "list every check, not the failed ones alone")
    .option("--json", "print the report as JSON")
    .action(run);
}

interface Options {
  run?: string;
  levels?: Level[];
  precision: Precision;
  timeout: number;
  golden: string;
  all?: boolean;
  json?: boolean;
}

async function run(options: Options): Promise<void> {
  const report = await (options.run === undefined ? ownReport(options) : commandReport(options.run, options));
  console.log(options.json ? JSON.stringify(report) : conformanceText(report, options.all));
  if (!report.passed) process.exitCode = 1;
}

async function commandReport(
  command: string,
  { levels = [1], precision, timeout, golden }: Options,
): Promise<ConformanceReport> {
  if (command.trim() === "")
    throw new UsageError("no command", { where: "--run", hint: 'Such as --run "python my_runtime.py".' });
  await using runtime = commandRuntime(command, { timeout: timeout * 1000, golden });
  process.once("SIGINT", () => void runtime.close().finally(() => process.exit(130)));
  return await conformance(runtime, { levels, precision, golden, onCheck: progress });
}

/** The dialect of ours that computes in a precision. */
const DIALECTS: Readonly<Partial<Record<Precision, DialectName>>> = {
  float32: "f32",
  int16: "int16",
  int8: "int8",
  bfloat16: "bf16-hf",
};

async function ownReport({ levels = [1, 2, 5], precision, golden }: Options): Promise<ConformanceReport> {
  const dialect = DIALECTS[precision];
  if (dialect === undefined)
    throw new UsageError("this package has no dialect of this precision", { where: precision });
  await using model = await load(join(golden, "model/checkpoint"), { dialect, tokenizer: false });
  return await conformance(modelRuntime(model.transformer), { levels, precision, golden, onCheck: progress });
}

function progress(level: Level, { name }: { name: string }): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[Klevel ${level}, ${LEVELS[level]}: ${name}\r`);
}

function levelList(text: string): Level[] {
  const levels = text.split(",").map(Number);
  if (!levels.every((level) => level in LEVELS))
    throw new InvalidArgumentError("Expected numbers from 1 to 5, such as 1,2,5.");
  return [...new Set(levels)].sort() as Level[];
}
