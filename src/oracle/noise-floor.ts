import type { Comparison } from "./compare.ts";
import { FACTOR, MEASURED_DEPTHS, NOISE } from "./noise-table.ts";

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
): NoiseFloor {
  const dialects = [dialectA ?? "f32", dialectB ?? "f32"] as const;
  const [a, b] = dialects.map((name) => NOISE[name] ?? NOISE["f32"]!) as [Measured, Measured];
  const figure = (measured: Measured, point: string, kind: number): number => {
    const { group, layer } = groupOf(point);
    const rows = measured.points[group];
    if (!rows) return 0;
    return atDepth(rows[kind]!, layer ?? (group === "embedding" ? 0 : layers));
  };
  const both = (point: string, kind: number): number =>
    FACTOR * Math.max(STORED, Math.hypot(figure(a, point, kind), figure(b, point, kind)));
  return {
    dialects,
    source: `${FACTOR} times the largest distance between correct runs of ${dialects.join(" and ")}`,
    at: (point) => ({ median: both(point, 0), clean: both(point, 1), downstream: both(point, 2) }),
    flipShare: FACTOR * Math.max(0.002, a.flipShare, b.flipShare),
  };
}

/** Traces hold float32, whatever they were computed in. */
const STORED = 2 ** -24;

/** For each kind of point: median, clean and downstream, each at MEASURED_DEPTHS. */
export interface Measured {
  readonly flipShare: number;
  readonly points: Readonly<Record<string, readonly (readonly number[])[]>>;
}

function atDepth(values: readonly number[], layer: number): number {
  if (values.length === 1) return values[0]!;
  const last = MEASURED_DEPTHS.length - 1;
  let i = MEASURED_DEPTHS.findIndex((depth) => depth > layer) - 1;
  if (i < 0) i = last - 1;
  const [from, to] = [MEASURED_DEPTHS[i]!, MEASURED_DEPTHS[i + 1]!];
  const slope = (values[i + 1]! - values[i]!) / (to - from);
  return Math.max(values[i]!, values[i]! + slope * (layer - from));
}

/**
 * A floor from runs of the very prompt: at each point the largest of these distances (of the two dialects from each other and from the
 * truth), times `FACTOR`, and no less than a tenth of what the table has, which stands for what this prompt happened not to show.
 */
export function measuredFloor(runs: readonly Comparison[], table: NoiseFloor, model: string): NoiseFloor {
  const largest = new Map<string, PointFloor>();
  for (const { points } of runs) {
    for (const { point, noise } of points) {
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
    source: `${FACTOR} times what ${table.dialects.join(", ")} and f64 lie apart on this prompt, by ${model}`,
    flipShare: table.flipShare,
    at(point) {
      const from = table.at(point);
      const seen = largest.get(point) ?? from;
      const figure = (kind: keyof PointFloor): number => Math.max(FACTOR * seen[kind], from[kind] / 10);
      return { median: figure("median"), clean: figure("clean"), downstream: figure("downstream") };
    },
  };
}
