import { relativeRms } from "../checks.ts";
import type { Trace } from "../trace.ts";
import { logitsHint } from "./hints.ts";
import type { LogitRows } from "./runtime.ts";
import { check, type LevelOutcome, logitTolerance, type Suite } from "./suite.ts";

/** One token; a few; the edges of the sliding window of 128; past the original context of 256; all. */
export const LENGTHS = [1, 2, 64, 127, 128, 129, 130, 257, 300] as const;

/** Level 1: logits of prompts that begin alike, against float64. */
export async function checkLogits(suite: Suite): Promise<LevelOutcome> {
  const { runtime, goldens, tolerances, precision } = suite;
  const ids = await goldens.ids();
  const truth = rowsOf(await goldens.truth());
  const checks: LevelOutcome["checks"] = [];
  const errors: { length: number; rows: number; error: number }[] = [];
  let firstWrong = Number.POSITIVE_INFINITY;
  let notFinite = false;
  for (const length of LENGTHS) {
    await check(suite, checks, `${length} ${length === 1 ? "token" : "tokens"}`, async () => {
      const rows = checkedRows(await runtime.logits!(ids.slice(0, length)), length, truth[0]!.length);
      const expected = truth.slice(length - rows.length, length);
      const error = relativeRms(joined(rows), joined(expected));
      const tolerance = logitTolerance(suite, rows.length);
      errors.push({ length, rows: rows.length, error });
      notFinite ||= rows.some((row) => row.some((x) => !Number.isFinite(x)));
      if (error <= tolerance) return { error, tolerance, unit: "relative rms" };
      const wrong =
        length -
        rows.length +
        firstBeyond(rows, expected, tolerances.factor * tolerances.precisions[precision].token_max);
      firstWrong = Math.min(firstWrong, wrong);
      return { error, tolerance, unit: "relative rms", detail: `from token ${wrong} on` };
    });
  }
  if (checks.every(({ passed }) => passed)) return { checks };
  return { checks, hint: logitsHint({ errors, firstWrong, notFinite }, tolerances, precision) };
}

/** Rows as numbers, if there are as many as tokens or one, each of the vocabulary's size. */
export function checkedRows(rows: LogitRows, tokens: number, vocab: number): Float64Array[] {
  if (rows.length !== tokens && rows.length !== 1)
    throw new Error(
      `${rows.length} rows of logits for ${tokens} tokens: expected one a token, or the last one's`,
    );
  return Array.from(rows, (row) => {
    if (row.length !== vocab) throw new Error(`${row.length} logits a token, expected ${vocab}`);
    return Float64Array.from(row);
  });
}

/** Rows as one array. */
export function joined(rows: readonly Float64Array[]): Float64Array {
  const width = rows[0]?.length ?? 0;
  const all = new Float64Array(rows.length * width);
  for (const [i, row] of rows.entries()) all.set(row, i * width);
  return all;
}

export function rowsOf(truth: Trace): Float64Array[] {
  const { shape, data } = truth.get("logits")!;
  const [tokens, vocab] = shape as [number, number];
  return Array.from({ length: tokens }, (_, t) =>
    Float64Array.from(data.subarray(t * vocab, (t + 1) * vocab)),
  );
}

/** The first row that strays further than any correct one, or else the one that strays furthest. */
function firstBeyond(
  rows: readonly Float64Array[],
  expected: readonly Float64Array[],
  limit: number,
): number {
  const errors = rows.map((row, t) => relativeRms(row, expected[t]!));
  const beyond = errors.findIndex((error) => !(error <= limit));
  return beyond >= 0 ? beyond : errors.indexOf(Math.max(...errors));
}
