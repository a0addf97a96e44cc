#!/usr/bin/env node
import { Command, CommanderError } from "commander";
import { GptOssError } from "../errors.ts";
import * as bench from "./bench.ts";
import * as bisect from "./bisect.ts";
import * as chat from "./chat.ts";
import * as check from "./check.ts";
import * as compare from "./compare.ts";
import * as conformance from "./conformance.ts";
import * as diagnose from "./diagnose.ts";
import * as exporting from "./export.ts";
import * as generate from "./generate.ts";
import * as inspect from "./inspect.ts";
import * as replay from "./replay.ts";
import * as serve from "./serve.ts";
import * as synth from "./synth.ts";
import * as trace from "./trace.ts";
import * as verify from "./verify.ts";
import { VERSION } from "./version.ts";

const program = new Command("gpt-oss")
  .description(
    "Run OpenAI's open-weight models gpt-oss-20b and gpt-oss-120b, look inside them, check others against them.",
  )
  .version(VERSION)
  .option("--debug", "show stack traces")
  .showHelpAfterError("(run with --help for the options)")
  .exitOverride();

const commands = [
  ...[chat, generate, serve],
  ...[trace, compare, diagnose, bisect, replay, check, conformance, verify],
  ...[inspect, bench, synth, exporting],
];
for (const command of commands) command.register(program);
for (const command of program.commands) command.option("--debug", "show stack traces").exitOverride();

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // the reader of a pipe, such as `head`, has gone
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

/** Prints one line for what the user can mend, and returns the exit status. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (process.argv.includes("--debug")) console.error(error);
  else if (error instanceof GptOssError) console.error(`gpt-oss: ${error.message}`);
  else if (error instanceof Error) {
    const known = "syscall" in error; // a system call's error, such as ENOENT or ENOSPC, says what and where itself
    console.error(`gpt-oss: ${known ? "" : "internal error: "}${error.message.split("\n")[0]}`);
    if (!known) console.error("This is a bug: please report it with the output of --debug.");
  } else console.error(`gpt-oss: ${String(error)}`);
  return 2;
}
