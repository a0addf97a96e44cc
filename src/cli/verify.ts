import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { type Check, type CheckResult, passes } from "../oracle/checks.ts";
import { checkpointChecks, goldenChecks } from "../oracle/verify.ts";
import { modelPath, SMALL_CHECKPOINT } from "./arguments.ts";
import { table } from "./terminal.ts";

export function register(program: Command): void {
  program
    .command("verify")
    .description("check this installation against golden values, and a checkpoint against itself")
    .argument("[model]", "checkpoint folder or .gguf file (default: the small checkpoint)")
    .option("--all", "list every check, not one line a group")
    .option("--json", "print the results as JSON")
    .action(run);
}

type Outcome = Check & CheckResult & { readonly passed: boolean; readonly milliseconds: number };

async function run(model: string | undefined, options: { all?: boolean; json?: boolean }): Promise<void> {
  const path = model === undefined ? SMALL_CHECKPOINT : modelPath(model);
  const checks = [
    ...goldenChecks(fileURLToPath(new URL("../../golden", import.meta.url))),
    ...(await checkpointChecks(path)),
  ];
  const outcomes: Outcome[] = [];
  for (const check of checks) {
    if (process.stderr.isTTY) process.stderr.write(`\r${outcomes.length} of ${checks.length} checks`);
    const start = performance.now();
    const result = await check.run().catch(failure);
    outcomes.push({ ...check, ...result, passed: passes(result), milliseconds: performance.now() - start });
  }
  if (process.stderr.isTTY) process.stderr.write("\r\u001b[K");

  const failed = outcomes.filter(({ passed }) => !passed);
  if (options.json)
    console.log(JSON.stringify({ passed: outcomes.length - failed.length, failed: failed.length, outcomes }));
  else {
    console.log(options.all ? listing(outcomes) : byGroup(outcomes));
    if (failed.length > 0 && !options.all) console.log(`\nFailed:\n${listing(failed)}`);
    console.log(`\n${outcomes.length - failed.length} passed, ${failed.length} failed`);
  }
  if (failed.length > 0) process.exitCode = 1;
}

/** A check that could not be carried out has failed; the others go on. */
function failure(error: Error): CheckResult {
  return { error: Number.NaN, tolerance: 0, unit: "differing", detail: error.message };
}

/** One line a group: the check that comes closest to its tolerance stands for all. */
function byGroup(outcomes: readonly Outcome[]): string {
  const groups = [...new Set(outcomes.map(({ group }) => group))];
  const rows = groups.map((name) => {
    const members = outcomes.filter(({ group }) => group === name);
    const closest = members.reduce((a, b) => (ratio(b) <= ratio(a) ? a : b));
    const seconds = members.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000;
    const verdict = members.every(({ passed }) => passed) ? "ok" : "FAILED";
    return [name, String(members.length), ...measure(closest), seconds.toFixed(1), verdict];
  });
  return table(["group", "#checks", "#worst error", "#tolerance", "unit", "#seconds", "verdict"], rows);
}

function listing(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map((outcome) => {
    const { group, name, detail = "", passed } = outcome;
    return [group, name, ...measure(outcome), detail, passed ? "ok" : "FAILED"];
  });
  return table(["group", "check", "#error", "#tolerance", "unit", "where", "verdict"], rows);
}

function measure({ error, tolerance, unit }: CheckResult): string[] {
  const show = (x: number): string => (x === 0 ? "0" : x.toExponential(1));
  return [show(error), show(tolerance), unit];
}

function ratio({ error, tolerance }: CheckResult): number {
  return error === 0 ? 0 : error / tolerance;
}
