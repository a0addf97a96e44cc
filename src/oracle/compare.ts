import type { HostTensor } from "../engine/ops.ts";
import { explain, sumFits } from "./evidence.ts";
import type { SampledTensor } from "./formats/sampled.ts";
import { compareLogits, type LogitsDistance } from "./logits.ts";
import { constantFloor, groupOf, type NoiseFloor, type PointFloor } from "./noise-floor.ts";
import { type Pairs, pairs, sampledPairs, slotPairs } from "./pairs.ts";
import { compareRouting, type Flip, type Routing } from "./routing.ts";
import { type Step, type StepFloor, stepsOf } from "./steps.ts";
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
  /** What its own operation makes of the errors of its inputs, where these were compared too, and what it may. */
  readonly step?: Step & { readonly floor: StepFloor };
  /** Relative rms error of each token, NaN where it wasn't compared; relative to the token's own rms or, if that is more, the median one's. */
  readonly tokenErrors?: Float64Array;
  /** That rms. */
  readonly tokenSignals?: Float64Array;
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
  const measured = order
    .filter((name) => namesA.has(name) && b.has(name))
    .map((name) => {
      const [x, y, printed] = [a.get(name), b.get(name)!, sampled.get(name)];
      const found = x ? pairs(name, x, y, slotPairs(name, a, b)) : sampledPairs(name, printed!, y);
      if (typeof found === "string") return failed(name, noiseFloor.at(name), found);
      if (/(^|\.)(ids|expert_ids)$/.test(name) && x) return compareIds(name, x, y, routing, noiseFloor);
      const values = x?.data ?? printed!.values;
      const distance = measure(name, values, y, found, routing, noiseFloor, options, printed);
      return { ...distance, explain: () => explain(values, y, found, distance) };
    });
  const byName = new Map(measured.map((distance) => [distance.point, distance as PointDistance]));
  const count = 1 + (layers.at(-1) ?? -1);
  const points = measured.map(
    ({ explain, ...distance }: PointDistance & { explain?: () => Partial<PointDistance> }) => {
      if (!explain) return distance;
      const judged = judge(distance, byName, b, routing, noiseFloor, count, sampled.get(distance.point));
      return judged.firstToken === undefined ? judged : { ...judged, ...explain() };
    },
  );
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

/** Numbers of the layers that names of points speak of, ascending. */
export function layersOf(names: Iterable<string>): number[] {
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

/** The errors at a point, not yet judged. */
function measure(
  point: string,
  a: HostTensor["data"],
  b: HostTensor,
  { tokens: T, runs, note }: Pairs,
  routing: Routing,
  noiseFloor: NoiseFloor,
  { mantissaBits = 24 }: CompareOptions,
  printed?: SampledTensor,
): PointDistance {
  const excluded = flippedBefore(point, routing);
  const resolution = printed?.resolution ?? 0;
  const [errors, signals, counts] = [new Float64Array(T), new Float64Array(T), new Float64Array(T)];
  const sums = { error: 0, ab: 0, aa: 0, bb: 0 };
  const ulps = new Array<number>(ULP_BUCKETS).fill(0);
  const masks = { differing: 0, shownByA: 0 };
  let maxAbsolute = 0;
  for (const run of runs()) {
    const t = run.token;
    const counted = !excluded(t);
    for (let j = 0; j < run.length; j++) {
      const x = a[run.a + j]!;
      const y = b.data[run.b + j]!;
      if (x === y || (Number.isNaN(x) && Number.isNaN(y))) {
        if (!Number.isFinite(x)) continue; // masked scores
      } else if (Number.isFinite(x) !== Number.isFinite(y) && !Number.isNaN(x - y)) {
        masks.differing++;
        if (Number.isFinite(x)) masks.shownByA++;
      }
      const raw = Math.abs(x - y);
      ulps[ulpBucket(raw, y, mantissaBits)]!++;
      const error = raw <= resolution ? 0 : raw - resolution;
      errors[t]! += error * error;
      if (Number.isFinite(y)) signals[t]! += y * y;
      counts[t]!++;
      if (!(error <= maxAbsolute)) maxAbsolute = error;
      if (!counted) continue;
      sums.ab += x * y;
      sums.aa += x * x;
      sums.bb += y * y;
      sums.error += error * error;
    }
  }
  const rms = signals.map((signal, t) => Math.sqrt(signal / Math.max(1, counts[t]!)));
  const typical = [...rms].filter((_, t) => counts[t]! > 0).sort((x, y) => x - y);
  const usual = typical[typical.length >> 1] ?? 0;
  const tokenSignals = rms.map((signal) => Math.max(signal, usual));
  const tokenErrors = errors.map((error, t) => {
    if (counts[t] === 0) return Number.NaN;
    const relative = error === 0 ? 0 : Math.sqrt(error / counts[t]!) / tokenSignals[t]!;
    return Number.isNaN(relative) ? Number.POSITIVE_INFINITY : relative; // of NaN
  });
  return {
    point,
    relativeRms: sums.error === 0 ? 0 : Math.sqrt(sums.error / sums.bb),
    maxAbsolute,
    cosine: sums.ab / Math.sqrt(sums.bb * sums.aa || 1),
    firstToken: undefined,
    floor: noiseFloor.at(point),
    noise: figures(
      tokenErrors,
      excluded,
      routing.firstFlipped(groupOf(point).layer ?? Number.MAX_SAFE_INTEGER),
    ),
    tokenErrors,
    tokenSignals,
    ulps,
    ...(masks.differing > 0 && { masks }),
    ...(note && { note }),
  };
}

/** Tokens whose errors here come of another choice of experts: in a layer before or, behind the choice, in this one. */
function flippedBefore(point: string, routing: Routing): (t: number) => boolean {
  const { group, layer = Number.MAX_SAFE_INTEGER } = groupOf(point);
  const last = /^moe\.(expert_weights|out|residual)$/.test(group) ? layer : layer - 1;
  return (t) => routing.flippedAt(t) <= last;
}

/** Holds the errors against the floor: those of the step where its inputs are known, else those of the point. */
function judge(
  distance: PointDistance,
  compared: ReadonlyMap<string, PointDistance>,
  b: Trace,
  routing: Routing,
  noiseFloor: NoiseFloor,
  layers: number,
  printed: SampledTensor | undefined,
): PointDistance {
  const { point, floor, noise, relativeRms } = distance;
  const tokenErrors = distance.tokenErrors!;
  const { layer = Number.MAX_SAFE_INTEGER } = groupOf(point);
  for (const step of printed ? [] : stepsOf(distance, compared, b, layers, noiseFloor.unit, routing)) {
    const stepFloor = noiseFloor.step(step.key);
    if (!stepFloor) continue;
    const { ratios, median, blind } = step;
    const limit =
      median > stepFloor.median ? stepFloor.median : blind ? Number.POSITIVE_INFINITY : stepFloor.worst;
    const firstToken = ratios.findIndex((ratio) => ratio > limit);
    return {
      ...distance,
      step: { ...step, floor: stepFloor },
      firstToken: firstToken < 0 ? undefined : firstToken,
    };
  }
  const excluded = flippedBefore(point, routing);
  const firstFlipped = routing.firstFlipped(layer);
  const beyond = (t: number, limit: number): boolean =>
    !Number.isNaN(tokenErrors[t]) && !excluded(t) && tokenErrors[t]! > limit;
  let firstToken: number | undefined;
  if (Number.isFinite(floor.clean)) {
    firstToken = first(tokenErrors.length, (t) =>
      beyond(t, t > firstFlipped ? floor.downstream : floor.clean),
    );
    if (noise!.median > floor.median)
      firstToken ??= first(tokenErrors.length, (t) => beyond(t, floor.median));
  } else if (!(relativeRms <= floor.median))
    firstToken = first(tokenErrors.length, (t) => beyond(t, floor.median)) ?? 0;
  if (printed?.sum !== undefined && firstToken === undefined && !sumFits(printed, b.get(point)!.data, floor))
    firstToken = printed.firstToken;
  return { ...distance, firstToken };
}

function first(T: number, holds: (t: number) => boolean): number | undefined {
  for (let t = 0; t < T; t++) if (holds(t)) return t;
  return undefined;
}

/** The three figures of a floor. */
function figures(
  tokenErrors: Float64Array,
  excluded: (t: number) => boolean,
  firstFlipped: number,
): PointFloor {
  const judged = [...tokenErrors.keys()].filter((t) => !Number.isNaN(tokenErrors[t]) && !excluded(t));
  const worst = (tokens: readonly number[]): number =>
    tokens.reduce((max, t) => Math.max(max, tokenErrors[t]!), 0);
  const sorted = judged.map((t) => tokenErrors[t]!).sort((x, y) => x - y);
  return {
    median: sorted[sorted.length >> 1] ?? 0,
    clean: worst(judged.filter((t) => t < firstFlipped)),
    downstream: worst(judged.filter((t) => t > firstFlipped)),
  };
}

export type { Flip };
