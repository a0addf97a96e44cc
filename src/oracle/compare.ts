import type { HostTensor } from "../engine/ops.ts";
import { exp, log } from "../numerics/elementary.ts";
import { type Trace, tokenAxis, tracePoints } from "./trace.ts";

/** How far one activation lies from another. */
export interface PointDistance {
  readonly point: string;
  /** rms(a − b) / rms(b); NaN where the two can't be compared. */
  readonly relativeRms: number;
  readonly maxAbsolute: number;
  readonly cosine: number;
  /** First token at which the point's error exceeds the floor. */
  readonly firstToken: number | undefined;
  /** `expert_ids` only: (token, rank) pairs whose expert differs. */
  readonly flips?: number;
  /** Why the point could not be compared. */
  readonly mismatch?: string;
}

export interface Comparison {
  readonly points: readonly PointDistance[];
  /** Largest relative rms error that two runs of these dialects may show. */
  readonly floor: number;
  readonly firstDivergence: PointDistance | undefined;
  readonly onlyInA: readonly string[];
  readonly onlyInB: readonly string[];
  /** Mean KL(B ‖ A) over tokens, in nats, if both hold logits. */
  readonly meanKl: number | undefined;
  /** Share of tokens whose most probable next token is the same. */
  readonly top1Agreement: number | undefined;
}

/** What a dialect may stray from the truth, in relative rms at a point; larger ones were never measured without a bug. */
const FLOORS: Readonly<Record<string, number>> = {
  f64: 1e-6, // traces are stored in float32
  f32: 2e-5,
  "bf16-openai": 5e-2,
  "bf16-hf": 5e-2,
  int16: 1e-3,
  int8: 1e-1,
};

/** The larger of the two dialects' noise floors; unknown dialects count as f32. */
export function noiseFloor(dialectA: string | undefined, dialectB: string | undefined): number {
  const floorOf = (name: string | undefined): number => FLOORS[name ?? "f32"] ?? 2e-5;
  return Math.max(floorOf(dialectA), floorOf(dialectB));
}

/** Compares two traces point by point, in forward order. */
export function compare(a: Trace, b: Trace, floor: number): Comparison {
  const layers = new Set<number>();
  for (const name of [...a.keys(), ...b.keys()]) {
    const layer = /^layers\.(\d{1,4})\./.exec(name)?.[1];
    if (layer !== undefined) layers.add(Number(layer));
  }
  const order = ["ids", ...tracePoints([...layers].sort((x, y) => x - y))];
  const points = order
    .filter((name) => a.has(name) && b.has(name))
    .map((name) => distance(name, a.get(name)!, b.get(name)!, floor, otherExperts(name, a, b)));
  const logitsA = a.get("logits");
  const logitsB = b.get("logits");
  const comparable = logitsA && logitsB && logitsA.shape.join() === logitsB.shape.join();
  return {
    points,
    floor,
    firstDivergence: points.find(diverges),
    onlyInA: order.filter((name) => a.has(name) && !b.has(name)),
    onlyInB: order.filter((name) => b.has(name) && !a.has(name)),
    ...(comparable ? compareLogits(logitsA, logitsB) : { meanKl: undefined, top1Agreement: undefined }),
  };
}

/** Whether a point lies beyond the floor. */
export function diverges(point: PointDistance): boolean {
  return point.mismatch !== undefined || point.firstToken !== undefined;
}

/**
 * What the chosen experts compute can only be compared where both chose the same: a predicate on (token, rank) pairs to
 * leave out, for the points that have them.
 */
export function otherExperts(point: string, a: Trace, b: Trace): ((slot: number) => boolean) | undefined {
  const layer = /^(layers\.\d+\.moe)\.(?:gate_up|swiglu|down)$/.exec(point)?.[1];
  const [idsA, idsB] = [a.get(`${layer}.expert_ids`)?.data, b.get(`${layer}.expert_ids`)?.data];
  return idsA && idsB && ((slot) => idsA[slot] !== idsB[slot]);
}

function distance(
  point: string,
  a: HostTensor,
  b: HostTensor,
  floor: number,
  leaveOut: ((slot: number) => boolean) | undefined,
): PointDistance {
  const failed = {
    point,
    relativeRms: Number.NaN,
    maxAbsolute: Number.NaN,
    cosine: Number.NaN,
    firstToken: undefined,
  };
  if (a.shape.join() !== b.shape.join()) {
    return { ...failed, mismatch: `shapes differ: [${a.shape.join(", ")}] and [${b.shape.join(", ")}]` };
  }
  const axis = tokenAxis(point);
  const T = a.shape[axis] ?? 1;
  const heads = axis === 1 ? a.shape[0]! : 1;
  const width = a.data.length / (T * heads);
  const slotWidth = a.shape.at(-1)!;
  const errors = new Float64Array(T); // sums of squares, by token
  let signal = 0;
  let dotProduct = 0;
  let normA = 0;
  let maxAbsolute = 0;
  let differing = 0;
  for (let i = 0; i < a.data.length; i++) {
    const x = a.data[i]!;
    const y = b.data[i]!;
    if (leaveOut?.(Math.floor(i / slotWidth))) continue;
    if (x === y || (Number.isNaN(x) && Number.isNaN(y))) {
      if (!Number.isFinite(x)) continue; // masked scores
    } else differing++;
    const error = x - y;
    errors[Math.floor(i / width) % T]! += error * error;
    signal += y * y;
    dotProduct += x * y;
    normA += x * x;
    if (!(Math.abs(error) <= maxAbsolute)) maxAbsolute = Math.abs(error);
  }
  if (point === "ids" || point.endsWith("expert_ids")) {
    // rounding flips a near tie now and then: a rough dialect may do so as often as its floor says
    const share = differing / a.data.length;
    const allowed = point === "ids" ? 0 : floor;
    const firstToken = share <= allowed ? undefined : errors.findIndex((error) => error > 0);
    return {
      point,
      relativeRms: share,
      maxAbsolute,
      cosine: Number.NaN,
      firstToken,
      flips: differing,
    };
  }
  const total = errors.reduce((sum, error) => sum + error, 0);
  const relativeRms = total === 0 ? 0 : Math.sqrt(total / signal);
  // a single token counts as diverged when its error is beyond the floor of the point's mean signal
  const beyond = errors.findIndex((error) => !(Math.sqrt((error * T) / signal) <= floor));
  const firstToken = relativeRms <= floor ? undefined : Math.max(0, beyond);
  return { point, relativeRms, maxAbsolute, cosine: dotProduct / Math.sqrt(signal * normA || 1), firstToken };
}

function compareLogits(a: HostTensor, b: HostTensor): { meanKl: number; top1Agreement: number } {
  const [T, vocab] = b.shape as [number, number];
  let kl = 0;
  let same = 0;
  for (let t = 0; t < T; t++) {
    const p = logSoftmax(b.data.subarray(t * vocab, (t + 1) * vocab));
    const q = logSoftmax(a.data.subarray(t * vocab, (t + 1) * vocab));
    for (let i = 0; i < vocab; i++) kl += exp(p.logs[i]!) * (p.logs[i]! - q.logs[i]!);
    if (p.best === q.best) same++;
  }
  return { meanKl: kl / T, top1Agreement: same / T };
}

function logSoftmax(row: HostTensor["data"]): { logs: Float64Array; best: number } {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  const shifted = Float64Array.from(row, (value) => value - row[best]!);
  const logSum = log(shifted.reduce((sum, value) => sum + exp(value), 0));
  return { logs: shifted.map((value) => value - logSum), best };
}
