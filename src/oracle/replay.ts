import type { HostTensor } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import type { Model } from "../generation/model.ts";
import { type Hooks, pointMatcher } from "../model/hooks.ts";
import type { Transformer } from "../model/transformer.ts";
import type { DialectName } from "../numerics/dialects.ts";
import { relativeRms } from "./checks.ts";
import { judge } from "./judge.ts";
import { forcing, layOut, type Theirs, tokensHeld } from "./theirs.ts";
import { type Trace, trace, tracePoints } from "./trace.ts";

export interface ReplayOptions {
  /** Points to take from them: a glob, commas between alternatives. Nothing by default. */
  readonly from?: string;
  /** Route every token to the experts that this trace names (with its `expert_weights`, where it has them). */
  readonly experts?: Theirs;
  /** Points to record. Default: all. */
  readonly points?: string;
}

/**
 * Runs a model on their tokens with some of their activations in the place of ours, and records what follows.
 *
 * The whole pass runs; at each point that `from` names, what we computed gives way to what they have, as far as they have it
 * (an activation may hold the first tokens only). So what comes after a replaced residual stream depends on theirs
 * alone, and where it equals theirs, the operations in between agree.
 *
 * @throws UsageError if `from` names nothing that they have
 */
export function replay(
  transformer: Transformer,
  theirs: Theirs,
  options: ReplayOptions = {},
): Promise<Trace> {
  const { from, experts, points } = options;
  if (from !== undefined) checkHasAny(theirs, from);
  if (experts) checkHasAny(experts, "layers.*.moe.expert_ids");
  const hooks = (start: number): Hooks => ({
    ...(experts && { "layers.*.moe.expert_ids,layers.*.moe.expert_weights": forcing(experts, start) }),
    ...(from !== undefined && { [from]: forcing(theirs, start) }),
  });
  return trace(transformer, theirs.ids, { hooks, ...(points !== undefined && { points }) });
}

function checkHasAny({ points }: Theirs, pattern: string): void {
  const matches = pointMatcher(pattern);
  if ([...points.keys()].some(matches)) return;
  throw new UsageError("the trace has no such point", {
    where: pattern,
    hint: `It has ${[...points.keys()].slice(0, 5).join(", ")}${points.size > 5 ? ", …" : ""}.`,
  });
}

/** One activation behind the replaced ones. */
export interface ContinuedPoint {
  readonly point: string;
  /** rms(replayed − theirs) / rms(theirs); undefined where they don't have it. */
  readonly toTheirs: number | undefined;
  /** rms(ours − theirs) / rms(theirs), ours without anything replaced. */
  readonly withoutReplay: number | undefined;
  /** rms(replayed − ours) / rms(ours): how far the replacement is felt. */
  readonly toOurs: number;
  /** rms(replayed − replayed in the other dialect) / rms(the latter). */
  readonly noise: number;
  /** Positions of the tokens at which theirs is further from ours than the noise. */
  readonly differing: readonly number[];
}

export interface Continuation {
  /** Activations that they have, and the logits, behind the first replaced one, in forward order. */
  readonly points: readonly ContinuedPoint[];
  /** First of them that differs from theirs beyond the noise: what computes it, or what lies ahead of it, isn't as ours. */
  readonly firstDiffering: ContinuedPoint | undefined;
  /** Dialects that it was computed in; the second is for the noise. */
  readonly dialects: readonly [DialectName, DialectName];
  /** (token, rank) pairs whose experts aren't theirs, over all layers; flips carry what follows away from theirs. */
  readonly flips: number;
  readonly replayed: Trace;
}

/**
 * Whether what lies downstream of some of their activations agrees with ours: replays in two dialects, the second of which tells
 * how far rounding alone would take it, and compares with a plain run and with theirs.
 *
 * @param open loads the model in a dialect; it is closed again
 */
export async function continueFrom(
  open: (dialect: DialectName) => Promise<Model>,
  theirs: Theirs,
  { dialect, ...options }: Omit<ReplayOptions, "points"> & { readonly dialect: DialectName },
): Promise<Continuation> {
  const dialects = [dialect, dialect === "f64" ? "f32" : "f64"] as const;
  const recorded = [...theirs.points.keys(), "logits"].join();
  const replayed = new Map<DialectName, Trace>();
  let plain: Trace = new Map();
  let order: string[] = [];
  for (const name of dialects) {
    await using model = await open(name);
    const isFirst = name === dialect;
    replayed.set(
      name,
      await replay(model.transformer, theirs, { ...options, ...(!isFirst && { points: recorded }) }),
    );
    if (isFirst) plain = await trace(model.transformer, theirs.ids, { points: recorded });
    order = tracePoints(model.config.numLayers);
  }
  const [run, other] = dialects.map((name) => replayed.get(name)!) as [Trace, Trace];
  const [near, truth] = dialect === "f64" ? [other, run] : [run, other];

  const isForced = pointMatcher(
    [options.from, options.experts && "layers.*.moe.expert_ids,layers.*.moe.expert_weights"]
      .filter(Boolean)
      .join(),
  );
  const first = order.findIndex((point) => isForced(point) && (theirs.points.has(point) || options.experts));
  const later = order
    .slice(first)
    .filter((point) => !isForced(point) && plain.has(point) && !point.endsWith("_ids"));
  const points = later.map((point): ContinuedPoint => {
    const value = theirs.points.get(point);
    const crop = (from: Trace): HostTensor =>
      value ? inLayoutOf(point, from.get(point)!, value, theirs) : from.get(point)!;
    const [a, b] = [crop(run), crop(other)];
    const [firstToken] = value ? tokensHeld(point, value, theirs.ids.length) : [0];
    return {
      point,
      toTheirs: value && relativeRms(a.data, value.data),
      withoutReplay: value && relativeRms(crop(plain).data, value.data),
      toOurs: relativeRms(a.data, crop(plain).data),
      noise: relativeRms(a.data, b.data),
      differing: value ? judge(point, value, crop(near), crop(truth), { firstToken }).wrong : [],
    };
  });
  let flips = 0;
  for (const [point, { data }] of theirs.points) {
    if (!point.endsWith(".expert_ids")) continue;
    for (const [i, expert] of data.entries()) if (expert !== run.get(point)!.data[i]) flips++;
  }
  return {
    points,
    firstDiffering: points.find(({ differing }) => differing.length > 0),
    dialects,
    flips,
    replayed: run,
  };
}

function inLayoutOf(point: string, ours: HostTensor, theirs: HostTensor, { ids }: Theirs): HostTensor {
  const data = new Float64Array(theirs.data.length);
  layOut(point, ours, theirs, 0, ids.length, data);
  return { shape: theirs.shape, data };
}

/**
 * Expert choices from JSON, as a trace: `{"expert_ids": [layers][T][k]}`, with `expert_weights` likewise if there are any, or
 * `{"routed_experts": [T][layers][k]}`, as vLLM returns them.
 *
 * @throws UsageError for anything else
 */
export function expertsFromJson(json: unknown, where: string): Trace {
  const fields = (json ?? {}) as Record<string, unknown>;
  const points = new Map<string, HostTensor>();
  const byLayer = (name: string, values: unknown, transposed: boolean): void => {
    const rows = cube(values, `${where}, ${name}`);
    const [layers, T] = transposed ? [rows[0]!.length, rows.length] : [rows.length, rows[0]!.length];
    for (let layer = 0; layer < layers; layer++) {
      const ofLayer = transposed ? rows.map((token) => token[layer]!) : rows[layer]!;
      const data = Float64Array.from(ofLayer.flat());
      const point = name === "expert_weights" ? name : "expert_ids";
      points.set(`layers.${layer}.moe.${point}`, { shape: [T, ofLayer[0]!.length], data });
    }
  };
  if (fields["routed_experts"] !== undefined) byLayer("routed_experts", fields["routed_experts"], true);
  else byLayer("expert_ids", fields["expert_ids"], false);
  if (fields["expert_weights"] !== undefined) byLayer("expert_weights", fields["expert_weights"], false);
  return points;
}

/** Three dimensions of numbers, each of one size. */
function cube(values: unknown, where: string): number[][][] {
  const isCube =
    Array.isArray(values) &&
    values.length > 0 &&
    values.every((plane) => Array.isArray(plane) && plane.length > 0 && plane.length === values[0].length) &&
    values.flat().every((row) => Array.isArray(row) && row.length === values[0][0].length) &&
    values.flat(2).every((value) => typeof value === "number" && Number.isFinite(value));
  if (isCube) return values as number[][][];
  throw new UsageError("not expert choices", {
    where,
    expected: '{"expert_ids": [layers][tokens][k]} or {"routed_experts": [tokens][layers][k]}',
  });
}
