import type { Comparison } from "./compare.ts";
import { FACTOR, MEASURED_DEPTHS, NOISE } from "./noise-table.ts";
import type { StepFloor } from "./steps.ts";

/**
 * How far two correct runs may lie apart at a point, in relative rms. Three figures, since a token that routing sent to another
 * expert infects those that attend to it: `median` over tokens, which a few can't sway; the worst token that no such flip can have
 * touched; and the worst of those that attention may have carried one to.
 */
export interface PointFloor {
  readonly median: number;
  readonly clean: number;
  readonly downstream: number;
}

export interface NoiseFloor {
  readonly dialects: readonly [string, string];
  /** Where the figures come from, for reports. */
  readonly source: string;
  at(point: string): PointFloor;
  /** What an operation may make of the errors of its inputs; where these are known, it alone counts. */
  step(key: string): StepFloor | undefined;
  /** What the two dialects round away, which is added to the inputs' errors. */
  readonly unit: number;
  /** Largest share of tokens that a layer may send to other experts where no router logits tell whether it was a near tie. */
  readonly flipShare: number;
}

/** One figure for all points: the largest relative rms over all tokens. */
export function constantFloor(x: number): NoiseFloor {
  const everywhere = { median: x, clean: Number.POSITIVE_INFINITY, downstream: Number.POSITIVE_INFINITY };
  return {
    dialects: ["?", "?"],
    source: `${x} everywhere, as asked for`,
    at: () => everywhere,
    step: () => undefined,
    unit: 0,
    flipShare: x,
  };
}

/** The kind of a point and the layer that it is in; what follows the layers counts as the last one's depth plus one. */
export function groupOf(point: string): { group: string; layer: number | undefined } {
  const [, layer, group] = /^layers\.(\d+)\.(.+)$/.exec(point) ?? [];
  return { group: group ?? point, layer: layer === undefined ? undefined : Number(layer) };
}

/**
 * The noise of two dialects as measured on correct runs (scripts/measure-noise.ts): of each against the truth, at its largest over
 * checkpoints, prompts and tokens; both together as the root of the sum of squares, times `FACTOR`. Between the depths that were
 * measured it is interpolated, beyond the deepest it goes on growing as it did before.
 *
 * @param layers of the model, for the points behind them
 */
export function noiseFloor(
  dialectA: string | undefined,
  dialectB: string | undefined,
  layers = 24,
  table: NoiseTable = { noise: NOISE, depths: MEASURED_DEPTHS },
): NoiseFloor {
  const dialects = [dialectA ?? "f32", dialectB ?? "f32"] as const;
  const [a, b] = dialects.map((name) => table.noise[name] ?? table.noise["f32"]!) as [Measured, Measured];
  const figure = (measured: Measured, point: string, kind: number): number => {
    const { group, layer } = groupOf(point);
    const rows = measured.points[group];
    if (!rows) return 0;
    return atDepth(rows[kind]!, table.depths, layer ?? (group === "embedding" ? 0 : layers));
  };
  const both = (point: string, kind: number): number =>
    FACTOR * Math.max(STORED, Math.hypot(figure(a, point, kind), figure(b, point, kind)));
  return {
    dialects,
    source: `measured on correct runs of ${dialects.join(" and ")}`,
    at: (point) => ({ median: both(point, 0), clean: both(point, 1), downstream: both(point, 2) }),
    unit: Math.hypot(a.unit, b.unit),
    step(key) {
      const [x, y] = [a.steps[key] ?? [0, 0], b.steps[key] ?? [0, 0]];
      const [median, worst] = [0, 1].map((kind) => Math.max(x[kind]!, y[kind]!)) as [number, number];
      return worst === 0 ? undefined : { median: MEDIAN_FACTOR * median, worst: FACTOR * worst };
    },
    flipShare: FACTOR * Math.max(0.002, a.flipShare, b.flipShare),
  };
}

/** The median token varies little from run to run. */
const MEDIAN_FACTOR = 2;

/** Traces hold float32, whatever they were computed in. */
const STORED = 2 ** -24;

/** What was measured: scripts/measure-noise.ts checks a new one before it is written. */
export interface NoiseTable {
  readonly noise: Readonly<Record<string, Measured>>;
  readonly depths: readonly number[];
}

/** For each kind of point: median, clean and downstream, each at MEASURED_DEPTHS. */
export interface Measured {
  readonly flipShare: number;
  /** Median and worst token's ratio of a point's error to its inputs' and the unit, which the dialect rounds away. */
  readonly steps: Readonly<Record<string, readonly number[]>>;
  readonly unit: number;
  readonly points: Readonly<Record<string, readonly (readonly number[])[]>>;
}

function atDepth(values: readonly number[], depths: readonly number[], layer: number): number {
  if (values.length === 1) return values[0]!;
  const last = depths.length - 1;
  let i = depths.findIndex((depth) => depth > layer) - 1;
  if (i < 0) i = last - 1;
  const [from, to] = [depths[i]!, depths[i + 1]!];
  const slope = (values[i + 1]! - values[i]!) / (to - from);
  return Math.max(values[i]!, values[i]! + slope * (layer - from));
}

/**
 * A floor from runs of the very prompt: at each point the largest of these distances (of the two dialects from each other and from the
 * truth), times `FACTOR`, and no less than a tenth of what the table has, which stands for what this prompt happened not to show.
 */
export function measuredFloor(runs: readonly Comparison[], table: NoiseFloor, model: string): NoiseFloor {
  const largest = new Map<string, PointFloor>();
  const steps = new Map<string, [number, number]>();
  for (const { points } of runs) {
    for (const { point, noise, step } of points) {
      if (step) {
        const [median, worst] = steps.get(step.key) ?? [0, 0];
        steps.set(step.key, [Math.max(median, step.median), Math.max(worst, step.worst)]);
      }
      const before = largest.get(point) ?? { median: 0, clean: 0, downstream: 0 };
      if (!noise) continue;
      const downstream = Math.max(before.downstream, noise.downstream, noise.clean);
      largest.set(point, {
        median: Math.max(before.median, noise.median),
        clean: Math.max(before.clean, noise.clean),
        downstream,
      });
    }
  }
  return {
    dialects: table.dialects,
    source: `measured on this prompt, on which ${table.dialects.join(", ")} and f64 were run by ${model}`,
    flipShare: table.flipShare,
    unit: table.unit,
    step(key) {
      const [from, seen] = [table.step(key), steps.get(key)];
      if (!from || !seen) return from;
      // the table is an upper bound; a prompt that happens to be quiet doesn't make a third of it noise
      const within = (limit: number, measured: number): number =>
        Math.min(limit, Math.max(limit / 3, measured));
      return {
        median: within(from.median, MEDIAN_FACTOR * seen[0]),
        worst: within(from.worst, FACTOR * seen[1]),
      };
    },
    at(point) {
      const from = table.at(point);
      const seen = largest.get(point) ?? from;
      const figure = (kind: keyof PointFloor): number => Math.max(FACTOR * seen[kind], from[kind] / 10);
      return { median: figure("median"), clean: figure("clean"), downstream: figure("downstream") };
    },
  };
}
