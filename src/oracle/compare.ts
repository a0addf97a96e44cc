import type { HostTensor } from "../engine/ops.ts";
import type { SampledTensor } from "./formats/sampled.ts";
import { compareLogits, type LogitsDistance } from "./logits.ts";
import { constantFloor, groupOf, type NoiseFloor, type PointFloor } from "./noise-floor.ts";
import { type Pairs, pairs, sampledPairs, slotPairs } from "./pairs.ts";
import { compareRouting, type Flip, type Routing } from "./routing.ts";
import { type Trace, tracePoints } from "./trace.ts";
import { ULP_BUCKETS, ulpBucket } from "./ulps.ts";

/** How far one activation lies from another. */
export interface PointDistance {
  readonly point: string;
  /** rms(a − b) / rms(b) over the tokens whose own routing hasn't flipped in a layer before; NaN where none can be compared. */
  readonly relativeRms: number;
  readonly maxAbsolute: number;
  readonly cosine: number;
  /** First token at which the point's error exceeds the floor. */
  readonly firstToken: number | undefined;
  /** What correct runs may show here. */
  readonly floor: PointFloor;
  /** What these two show: the figures that the floor is held against. */
  readonly noise?: PointFloor;
  /** Relative rms error of each token, NaN where it wasn't compared. */
  readonly tokenErrors?: Float64Array;
  /** How many values differ by no, at most 1, 2, 4 … units in the last place. */
  readonly ulps?: readonly number[];
  /** a ≈ factor · b, where that explains more than nine tenths of the error. */
  readonly factor?: number;
  /** a − b is nearly the same vector at every token. */
  readonly offset?: boolean;
  /** (query, key) pairs per head that only one of the two masks, and how many of these A shows and B masks. */
  readonly masks?: { readonly differing: number; readonly shownByA: number };
  /** `expert_ids` only: tokens whose set of experts differs. */
  readonly flips?: number;
  /** What was compared, if not all. */
  readonly note?: string;
  /** Why the point could not be compared. */
  readonly mismatch?: string;
}

export interface Comparison {
  readonly points: readonly PointDistance[];
  readonly floor: NoiseFloor;
  readonly firstDivergence: PointDistance | undefined;
  readonly onlyInA: readonly string[];
  readonly onlyInB: readonly string[];
  readonly routing: Routing;
  /** If both hold logits. */
  readonly logits: LogitsDistance | undefined;
  readonly meanKl: number | undefined;
  readonly top1Agreement: number | undefined;
}

export interface CompareOptions {
  /** Activations of A of which a few values are known. */
  readonly sampled?: ReadonlyMap<string, SampledTensor>;
  /** Bits of the mantissa, the hidden one included, in which units of the last place are counted. Default 24, float32. */
  readonly mantissaBits?: number;
}

/**
 * Compares two traces point by point, in forward order.
 *
 * A token that the router sends to other experts computes other values from there on, in both runs rightly if it was a near tie. Such
 * tokens don't count from the layer's experts on, and those that attend to them count against a floor of their own.
 *
 * @param floor what correct runs may show, or one relative rms for all points
 */
export function compare(
  a: Trace,
  b: Trace,
  floor: NoiseFloor | number,
  options: CompareOptions = {},
): Comparison {
  const noiseFloor = typeof floor === "number" ? constantFloor(floor) : floor;
  const sampled = options.sampled ?? new Map<string, SampledTensor>();
  const namesA = new Set([...a.keys(), ...sampled.keys()]);
  const layers = layersOf([...namesA, ...b.keys()]);
  const order = ["ids", ...tracePoints(layers)];
  const routing = compareRouting(a, b, layers, noiseFloor);
  const points = order
    .filter((name) => namesA.has(name) && b.has(name))
    .map((name) => {
      const [x, y, printed] = [a.get(name), b.get(name)!, sampled.get(name)];
      const found = x ? pairs(name, x, y, slotPairs(name, a, b)) : sampledPairs(name, printed!, y);
      if (typeof found === "string") return failed(name, noiseFloor.at(name), found);
      if (/(^|\.)(ids|expert_ids)$/.test(name) && x) return compareIds(name, x, y, routing, noiseFloor);
      return distance(name, x?.data ?? printed!.values, y, found, routing, noiseFloor, options, printed);
    });
  const [logitsA, logitsB] = [a.get("logits"), b.get("logits")];
  const logits = logitsA && logitsB && compareLogits(logitsA, logitsB);
  return {
    points,
    floor: noiseFloor,
    firstDivergence: points.find(diverges),
    onlyInA: order.filter((name) => namesA.has(name) && !b.has(name)),
    onlyInB: order.filter((name) => b.has(name) && !namesA.has(name)),
    routing,
    logits,
    meanKl: logits?.meanKl,
    top1Agreement: logits?.top1Agreement,
  };
}

function layersOf(names: readonly string[]): number[] {
  const layers = new Set<number>();
  for (const name of names) {
    const layer = /^layers\.(\d{1,4})\./.exec(name)?.[1];
    if (layer !== undefined) layers.add(Number(layer));
  }
  return [...layers].sort((x, y) => x - y);
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

function failed(point: string, floor: PointFloor, mismatch: string): PointDistance {
  return {
    point,
    floor,
    mismatch,
    relativeRms: Number.NaN,
    maxAbsolute: Number.NaN,
    cosine: Number.NaN,
    firstToken: undefined,
  };
}

/** Token ids must be the same; experts may be others where noise explains it, or where a flip before does. */
function compareIds(
  point: string,
  a: HostTensor,
  b: HostTensor,
  routing: Routing,
  floor: NoiseFloor,
): PointDistance {
  const common = { point, floor: floor.at(point), cosine: Number.NaN };
  const differs = (i: number): boolean => a.data[i] !== b.data[i];
  if (point === "ids") {
    const length = Math.min(a.data.length, b.data.length);
    const places = Array.from({ length }, (_, i) => i).filter(differs);
    return {
      ...common,
      relativeRms: places.length / length,
      maxAbsolute: Number.NaN,
      firstToken: places[0],
      flips: places.length,
    };
  }
  const { layer } = groupOf(point);
  const flips = routing.flips.filter((flip) => flip.layer === layer);
  const T = Math.min(a.shape[0]!, b.shape[0]!);
  const wrong = flips.filter(({ benign }) => benign === false);
  const unexplained = flips.filter(({ benign, afterFlip }) => benign === undefined && !afterFlip);
  const judged = unexplained.length / T > floor.flipShare ? [...wrong, ...unexplained] : wrong;
  const firstToken = judged.length === 0 ? undefined : Math.min(...judged.map(({ token }) => token));
  return {
    ...common,
    relativeRms: flips.length / T,
    maxAbsolute: Number.NaN,
    firstToken,
    flips: flips.length,
  };
}

function distance(
  point: string,
  a: HostTensor["data"],
  b: HostTensor,
  { tokens: T, runs, note }: Pairs,
  routing: Routing,
  noiseFloor: NoiseFloor,
  { mantissaBits = 24 }: CompareOptions,
  printed?: SampledTensor,
): PointDistance {
  const { group, layer = Number.MAX_SAFE_INTEGER } = groupOf(point);
  // what follows the choice within a layer is touched by a flip of that very layer
  const flipLayer = /^moe\.(expert_weights|out|residual)$/.test(group) ? layer : layer - 1;
  const excluded = Uint8Array.from({ length: T }, (_, t) => (routing.flippedAt(t) <= flipLayer ? 1 : 0));
  const firstFlipped = routing.firstFlipped(layer);
  const resolution = printed?.resolution ?? 0;

  const [errors, signals, counts] = [new Float64Array(T), new Float64Array(T), new Float64Array(T)];
  const sums = { error: 0, ab: 0, aa: 0, bb: 0 };
  const ulps = new Array<number>(ULP_BUCKETS).fill(0);
  const masks = { differing: 0, shownByA: 0 };
  let maxAbsolute = 0;
  for (const run of runs()) {
    const t = run.token;
    for (let j = 0; j < run.length; j++) {
      const x = a[run.a + j]!;
      const y = b.data[run.b + j]!;
      if (x === y || (Number.isNaN(x) && Number.isNaN(y))) {
        if (!Number.isFinite(x)) continue; // masked scores
      } else if (point.endsWith("scores") && Number.isFinite(x) !== Number.isFinite(y)) {
        masks.differing++;
        if (Number.isFinite(x)) masks.shownByA++;
      }
      let error = Math.abs(x - y);
      ulps[ulpBucket(error, y, mantissaBits)]!++;
      error = Math.max(0, error - resolution) + (Number.isNaN(error) ? Number.NaN : 0);
      errors[t]! += error * error;
      signals[t]! += y * y;
      counts[t]!++;
      if (!(error <= maxAbsolute)) maxAbsolute = error;
      if (excluded[t]) continue;
      sums.ab += x * y;
      sums.aa += x * x;
      sums.bb += y * y;
      sums.error += error * error;
    }
  }

  const compared = counts.reduce((n, count) => n + (count > 0 ? 1 : 0), 0);
  const signal = signals.reduce((x, y) => x + y, 0) / Math.max(1, compared);
  const tokenErrors = errors.map((error, t) =>
    counts[t] === 0 ? Number.NaN : error === 0 ? 0 : Math.sqrt(error / signal),
  );
  const relativeRms = sums.error === 0 ? 0 : Math.sqrt(sums.error / sums.bb);
  const noise = figures(tokenErrors, excluded, counts, firstFlipped);
  const floor = noiseFloor.at(point);
  const judge = (t: number): boolean => counts[t]! > 0 && !excluded[t];
  let firstToken: number | undefined;
  if (Number.isFinite(floor.clean)) {
    const beyond = (t: number): boolean =>
      judge(t) && !(tokenErrors[t]! <= (t > firstFlipped ? floor.downstream : floor.clean));
    firstToken = first(T, beyond);
    if (!(noise.median <= floor.median))
      firstToken ??= first(T, (t) => judge(t) && !(tokenErrors[t]! <= floor.median));
  } else if (!(relativeRms <= floor.median))
    firstToken = first(T, (t) => judge(t) && !(tokenErrors[t]! <= floor.median)) ?? 0;
  if (printed?.sum !== undefined && firstToken === undefined && !sumFits(printed, b.data, floor))
    firstToken = printed.firstToken;
  const slope = sums.bb > 0 ? sums.ab / sums.bb : 1;
  const unexplained = sums.aa - slope * sums.ab; // of a, by a multiple of b
  return {
    point,
    relativeRms,
    maxAbsolute,
    cosine: sums.ab / Math.sqrt(sums.bb * sums.aa || 1),
    firstToken,
    floor,
    noise,
    tokenErrors,
    ulps,
    ...(firstToken !== undefined && unexplained < sums.error / 10 && { factor: slope }),
    ...(firstToken !== undefined && isOffset(a, b, runs, excluded, sums.error) && { offset: true }),
    ...(masks.differing > 0 && { masks }),
    ...(note && { note }),
  };
}

function first(T: number, holds: (t: number) => boolean): number | undefined {
  for (let t = 0; t < T; t++) if (holds(t)) return t;
  return undefined;
}

/** The three figures of a floor. */
function figures(
  tokenErrors: Float64Array,
  excluded: Uint8Array,
  counts: Float64Array,
  firstFlipped: number,
): PointFloor {
  const judged = [...tokenErrors.keys()].filter((t) => counts[t]! > 0 && !excluded[t]);
  const error = (t: number): number =>
    Number.isNaN(tokenErrors[t]) ? Number.POSITIVE_INFINITY : tokenErrors[t]!;
  const worst = (tokens: readonly number[]): number => tokens.reduce((max, t) => Math.max(max, error(t)), 0);
  const sorted = judged.map(error).sort((x, y) => x - y);
  return {
    median: sorted[sorted.length >> 1] ?? 0,
    clean: worst(judged.filter((t) => t < firstFlipped)),
    downstream: worst(judged.filter((t) => t > firstFlipped)),
  };
}

/**
 * The printed sum, which was added in float32. Within the floor no error's rms is above floor · rms(b), hence the sum's, by Cauchy and
 * Schwarz, not above that times the number of values.
 */
function sumFits(
  { sum, firstToken, shape }: SampledTensor,
  b: HostTensor["data"],
  floor: PointFloor,
): boolean {
  const from = (firstToken * b.length) / shape[0]!;
  let [total, squares, magnitude] = [0, 0, 0];
  for (let i = from; i < b.length; i++) {
    total += b[i]!;
    squares += b[i]! * b[i]!;
    magnitude = Math.max(magnitude, Math.abs(total));
  }
  const count = b.length - from;
  const rms = Math.sqrt(squares / Math.max(1, count));
  const relative = Number.isFinite(floor.clean) ? Math.max(floor.clean, floor.downstream) : floor.median;
  return Math.abs(sum! - total) <= count * (relative * rms + 2 ** -24 * (magnitude + rms)) + 1e-6;
}

/** Whether the difference is one vector, added at every token: nine tenths of its squares remain in its mean. */
function isOffset(
  a: HostTensor["data"],
  b: HostTensor,
  runs: Pairs["runs"],
  excluded: Uint8Array,
  error: number,
): boolean {
  const width = b.data.length / b.shape[0]!;
  if (!(width <= 2 ** 16) || !Number.isFinite(error)) return false;
  const mean = new Float64Array(width);
  let count = 0;
  for (const run of runs()) {
    if (excluded[run.token] || run.length !== width) continue;
    count++;
    for (let j = 0; j < width; j++) mean[j]! += a[run.a + j]! - b.data[run.b + j]!;
  }
  return count > 2 && mean.reduce((sum, m) => sum + m * m, 0) / count > 0.9 * error;
}

export type { Flip };
