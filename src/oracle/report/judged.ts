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
export function severity({ noise, floor, mismatch, firstToken }: PointDistance): number {
  if (mismatch) return Number.POSITIVE_INFINITY;
  const ratios = noise
    ? (["median", "clean", "downstream"] as const).map((kind) =>
        noise[kind] === 0 ? 0 : noise[kind] / floor[kind],
      )
    : [];
  const ratio = Math.max(0, ...ratios);
  return firstToken === undefined ? Math.min(ratio, 1) : Math.max(ratio, 1.0001);
}
