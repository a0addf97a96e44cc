import { type CheckResult, passes } from "../checks.ts";
import type { Goldens, Stray, Tolerances } from "./goldens.ts";
import { type CheckReport, NotOffered, type Precision, type Runtime } from "./runtime.ts";

/** What the levels share. */
export interface Suite {
  readonly runtime: Runtime;
  readonly goldens: Goldens;
  readonly tolerances: Tolerances;
  readonly precision: Precision;
  /** Called after each check. */
  readonly onCheck: (check: CheckReport) => void;
}

/** What checks of a level came to, and the likely cause if one failed. */
export interface LevelOutcome {
  readonly checks: CheckReport[];
  readonly hint?: string | undefined;
}

/** Runs one check; what the runtime throws is a failure of this check alone. */
export async function check(
  { onCheck }: Suite,
  checks: CheckReport[],
  name: string,
  run: () => Promise<CheckResult>,
): Promise<void> {
  let result: CheckResult;
  try {
    result = await run();
  } catch (error) {
    if (error instanceof NotOffered) return;
    const detail = error instanceof Error ? error.message : String(error);
    result = { error: Number.POSITIVE_INFINITY, tolerance: 0, unit: "differing", detail };
  }
  const report = { name, ...result, passed: passes(result) };
  checks.push(report);
  onCheck(report);
}

/** How far the suite's precision may stray, by how many rows there are. */
export function logitTolerance({ tolerances, precision }: Suite, rows: number): number {
  const stray = tolerances.precisions[precision];
  return tolerances.factor * (rows === 1 ? stray.token_p95 : stray.prompt);
}

export function strayOf({ tolerances, precision }: Suite): Stray {
  return tolerances.precisions[precision];
}
