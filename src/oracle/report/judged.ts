import type { Comparison, PointDistance } from "../compare.ts";
import type { AnyTrace } from "../formats/index.ts";

/** A comparison with what its report tells of the files. */
export interface Judged {
  readonly comparison: Comparison;
  readonly a: TraceSummary;
  readonly b: TraceSummary;
  readonly conclusion: string;
}

export interface TraceSummary {
  readonly path: string;
  readonly format: AnyTrace["format"];
  readonly convention: AnyTrace["convention"];
  readonly dialect: string;
  /** No metadata named the dialect. */
  readonly dialectGuessed: boolean;
  readonly unknown: readonly string[];
}

/** How near a point comes to its floor: above 1 it diverges. */
export function severity({ noise, floor, mismatch, firstToken, step, flips }: PointDistance): number {
  if (mismatch) return Number.POSITIVE_INFINITY;
  if (flips !== undefined) return firstToken === undefined ? 0 : 10;
  const part = (error: number, limit: number): number => (error === 0 ? 0 : error / limit);
  const ratio = step
    ? Math.max(part(step.median, step.floor.median), part(step.worst, step.floor.worst))
    : Math.max(
        0,
        ...(noise
          ? (["median", "clean", "downstream"] as const).map((kind) => part(noise[kind], floor[kind]))
          : []),
      );
  return firstToken === undefined ? Math.min(ratio, 1) : Math.max(ratio, 1.0001);
}

/** The same of each token; NaN where it wasn't judged. */
export function tokenSeverities({
  tokenErrors,
  floor,
  step,
  firstToken,
}: PointDistance): Float64Array | undefined {
  if (step) {
    const limit = step.median > step.floor.median ? step.floor.median : step.floor.worst;
    return step.ratios.map((ratio) => ratio / limit);
  }
  const limit = Number.isFinite(floor.clean) ? Math.max(floor.clean, floor.downstream) : floor.median;
  return tokenErrors?.map((error) => {
    const ratio = error === 0 ? 0 : error / limit;
    return firstToken === undefined ? Math.min(ratio, 1) : ratio;
  });
}
