import { checkActivations } from "./activations.ts";
import { Goldens } from "./goldens.ts";
import { checkLogits } from "./logits.ts";
import {
  type CheckReport,
  type ConformanceReport,
  LEVELS,
  type Level,
  type LevelReport,
  type Precision,
  type Runtime,
} from "./runtime.ts";
import { checkSessions } from "./sessions.ts";
import type { LevelOutcome, Suite } from "./suite.ts";
import { checkHarmony, checkTokenizer } from "./texts.ts";

export interface ConformanceOptions {
  /** What the runtime computes in. Default float32, the strictest: bugs hide in the noise of others. */
  readonly precision?: Precision;
  /** Default: all that the runtime offers. */
  readonly levels?: readonly Level[];
  /** Folder of the pack. Default: the one that comes with this package. */
  readonly golden?: string;
  /** Told of each check as it ends. */
  readonly onCheck?: (level: Level, check: CheckReport) => void;
}

const CHECKS: Readonly<
  Record<Level, { offered(runtime: Runtime): unknown; run(suite: Suite): Promise<LevelOutcome> }>
> = {
  1: { offered: ({ logits }) => logits, run: checkLogits },
  2: { offered: ({ trace }) => trace, run: checkActivations },
  3: { offered: ({ encode, decode }) => encode ?? decode, run: checkTokenizer },
  4: { offered: ({ render, parse }) => render ?? parse, run: checkHarmony },
  5: { offered: ({ logits, open, batch }) => logits ?? open ?? batch, run: checkSessions },
};

/**
 * Holds a runtime against the conformance pack, level by level, and says of each failure what the likely cause is.
 *
 * @param runtime functions over the checkpoint golden/model (any of its layouts), and over o200k_harmony's tokenizer
 */
export async function conformance(
  runtime: Runtime,
  options: ConformanceOptions = {},
): Promise<ConformanceReport> {
  const { precision = "float32", levels = [1, 2, 3, 4, 5], golden, onCheck = () => {} } = options;
  const goldens = new Goldens(golden);
  const tolerances = await goldens.tolerances();
  const reports: LevelReport[] = [];
  for (const level of levels) {
    const suite: Suite = {
      runtime,
      goldens,
      tolerances,
      precision,
      onCheck: (check) => onCheck(level, check),
    };
    const { checks, hint }: LevelOutcome = CHECKS[level].offered(runtime)
      ? await CHECKS[level].run(suite)
      : { checks: [] };
    const failed = checks.some(({ passed }) => !passed);
    const status = failed ? "failed" : checks.length === 0 ? "skipped" : "passed";
    reports.push({
      level,
      title: LEVELS[level],
      status,
      checks,
      ...(failed && hint !== undefined && { hint }),
    });
  }
  const passed =
    reports.some(({ status }) => status === "passed") && reports.every(({ status }) => status !== "failed");
  return { pack: await goldens.version(), precision, levels: reports, passed };
}
