import type { HostTensor } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import { type Hook, type Hooks, pointMatcher } from "../model/hooks.ts";
import type { Transformer } from "../model/transformer.ts";

/** Activations by the names of their trace points, plus `ids`. */
export type Trace = ReadonlyMap<string, HostTensor>;

/** Names of all trace points of these layers (or of the first n), in forward order. */
export function tracePoints(layers: number | Iterable<number>): string[] {
  const names = ["embedding"];
  for (const i of typeof layers === "number" ? Array(layers).keys() : layers) {
    for (const point of ATTENTION_POINTS) names.push(`layers.${i}.attn.${point}`);
    for (const point of MOE_POINTS) names.push(`layers.${i}.moe.${point}`);
  }
  return [...names, "norm", "logits"];
}

/** The dimension of an activation that counts tokens: [heads, T, …] at some points, [T, …] at most. */
export function tokenAxis(point: string): 0 | 1 {
  return /\.attn\.(scores|weights|sink)$/.test(point) ? 1 : 0;
}

const ATTENTION_POINTS = [
  ...["norm", "q", "k", "v", "q_rope", "k_rope", "scores", "weights", "sink", "context", "out", "residual"],
];
const MOE_POINTS = [
  ...[
    "norm",
    "router_logits",
    "expert_ids",
    "expert_weights",
    "gate_up",
    "swiglu",
    "down",
    "out",
    "residual",
  ],
];

export interface TraceOptions {
  /** Glob on names of trace points, commas between alternatives. Default: all. */
  readonly points?: string;
  /** Tokens per forward pass. Bits don't depend on it; memory does: scores take heads · chunk · T values. Default 256. */
  readonly chunkSize?: number;
  /** Hooks that act ahead of the recording, of a pass whose first token has this position. */
  readonly hooks?: (start: number) => Hooks;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Runs the model on `ids` and records the activations at its trace points. */
export async function trace(
  transformer: Transformer,
  ids: readonly number[],
  options: TraceOptions = {},
): Promise<Trace> {
  const { points = "*", chunkSize = 256 } = options;
  const matches = pointMatcher(points);
  const names = tracePoints(transformer.config.numLayers).filter(matches);
  if (names.length === 0) {
    throw new UsageError("no trace point matches", {
      where: points,
      hint: "Names look like embedding, layers.0.attn.scores, layers.3.moe.residual or logits; * matches anything.",
    });
  }
  if (ids.length === 0) throw new UsageError("no token ids", { hint: "A prompt has at least one token." });
  const recorded = new Map<string, HostTensor>(
    names.map((name) => [name, { shape: [], data: new Float32Array() }]),
  );
  using cache = transformer.createCache();
  for (let start = 0; start < ids.length; start += chunkSize) {
    const chunk = ids.slice(start, start + chunkSize);
    const record: Hook = (value, point) => {
      const whole = start === 0 ? undefined : recorded.get(point)!;
      recorded.set(point, place(value, point, whole, start, ids.length));
    };
    // the same pattern may be among both; commas with nothing behind them match nothing
    const hooks: Hooks = { ...options.hooks?.(start), [`${points},`]: record };
    await transformer.forward(chunk, cache, { hooks });
    options.onProgress?.(start + chunk.length, ids.length);
  }
  recorded.set("ids", { shape: [ids.length], data: Int32Array.from(ids) });
  return recorded;
}

/** Puts a chunk's part of an activation into the activation of all T tokens. */
function place(
  part: HostTensor,
  point: string,
  whole: HostTensor | undefined,
  start: number,
  T: number,
): HostTensor {
  const perHead = tokenAxis(point) === 1;
  const chunk = part.shape[tokenAxis(point)]!;
  if (chunk === T) return part;
  if (!perHead) {
    const target = whole ?? emptyLike(part.data, [T, ...part.shape.slice(1)]);
    target.data.set(part.data, (start * target.data.length) / T);
    return target;
  }
  // [heads, chunk, keys] or [heads, chunk]: keys end with the chunk, older ones may be out of the window
  const heads = part.shape[0]!;
  const keys = part.shape[2];
  const shape = keys === undefined ? [heads, T] : [heads, T, T];
  const target =
    whole ?? emptyLike(part.data, shape, point.endsWith("scores") ? Number.NEGATIVE_INFINITY : 0);
  const firstKey = keys === undefined ? 0 : start + chunk - keys;
  const width = keys ?? 1;
  for (let head = 0; head < heads; head++) {
    for (let t = 0; t < chunk; t++) {
      const at = (head * chunk + t) * width;
      const to = keys === undefined ? head * T + start + t : (head * T + start + t) * T + firstKey;
      target.data.set(part.data.subarray(at, at + width), to);
    }
  }
  return target;
}

function emptyLike(data: HostTensor["data"], shape: number[], fill = 0): HostTensor {
  const length = shape.reduce((a, b) => a * b, 1);
  if (data instanceof Int32Array) return { shape, data: new Int32Array(length) };
  const Values = data instanceof Float64Array ? Float64Array : Float32Array;
  return { shape, data: new Values(length).fill(fill) };
}
