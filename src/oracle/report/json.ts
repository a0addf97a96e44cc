import { diverges, type PointDistance } from "../compare.ts";
import { groupOf } from "../noise-floor.ts";
import { type Judged, severity } from "./judged.ts";

/** The report for machines; docs/oracle.md describes it. Numbers that don't exist are null. */
export function jsonReport({ comparison, a, b, conclusion }: Judged): object {
  const { points, floor, firstDivergence, routing, logits, onlyInA, onlyInB } = comparison;
  return {
    version: 1,
    agrees: firstDivergence === undefined,
    conclusion,
    firstDivergence: firstDivergence
      ? { ...place(firstDivergence), token: firstDivergence.firstToken ?? null }
      : null,
    floor: { dialects: floor.dialects, source: floor.source },
    files: { a, b },
    points: points.map((point) => ({
      ...place(point),
      agrees: !diverges(point),
      firstToken: point.firstToken ?? null,
      relativeRms: point.relativeRms,
      maxAbsolute: point.maxAbsolute,
      cosine: point.cosine,
      noise: point.noise ?? null,
      floor: point.floor,
      step: point.step
        ? { median: point.step.median, worst: point.step.worst, floor: point.step.floor }
        : null,
      severity: severity(point),
      ulps: point.ulps ?? null,
      flips: point.flips ?? null,
      factor: point.factor ?? null,
      masks: point.masks ?? null,
      note: point.note ?? null,
      mismatch: point.mismatch ?? null,
    })),
    routing: { compared: routing.compared, flips: routing.flips },
    logits: logits ?? null,
    onlyInA,
    onlyInB,
  };
}

function place({ point }: PointDistance): { point: string; layer: number | null; op: string } {
  const { group, layer } = groupOf(point);
  return { point, layer: layer ?? null, op: group };
}
