import type { ModelConfig } from "../config.ts";
import type { HostTensor } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import type { Hook } from "../model/hooks.ts";
import { stepOf } from "./dataflow.ts";
import { type Trace, tokenAxis } from "./trace.ts";

/** Another runtime's activations, as far as they fit a model. */
export interface Theirs {
  readonly ids: readonly number[];
  /** Points that fit; each may hold fewer tokens than there are ids. */
  readonly points: ReadonlyMap<string, HostTensor>;
  /** What doesn't fit, and why. */
  readonly ignored: readonly { readonly point: string; readonly reason: string }[];
}

/**
 * Checks another runtime's activations against a model. Trailing dimensions may be flattened, ids may be floating-point
 * numbers, masked scores any fill from −9000 downwards.
 *
 * @param ids of the tokens, where the trace has none
 * @throws UsageError for no ids, ids outside the vocabulary, or no point that fits
 */
export function fitTheirs(trace: Trace, config: ModelConfig, ids?: readonly number[]): Theirs {
  const tokens = ids ?? Array.from(trace.get("ids")?.data ?? []);
  if (tokens.length === 0) {
    throw new UsageError("the trace doesn't tell its token ids", {
      hint: "Give them with --ids FILE.json, or store them as an int32 tensor `ids`.",
    });
  }
  const points = new Map<string, HostTensor>();
  const ignored: { point: string; reason: string }[] = [];
  for (const [point, value] of trace) {
    if (point === "ids") continue;
    const fitted = fit(point, value, config, tokens.length);
    if (typeof fitted === "string") ignored.push({ point, reason: fitted });
    else points.set(point, fitted);
  }
  if (points.size === 0) {
    throw new UsageError("the trace has no point that fits the model", {
      ...(ignored[0] && { where: ignored[0].point, found: ignored[0].reason }),
      hint: "README.md lists the names and shapes.",
    });
  }
  return { ids: tokens, points, ignored };
}

/** The activation under the shape that the other functions expect, or why it can't be one. */
function fit(
  point: string,
  { shape, data }: HostTensor,
  config: ModelConfig,
  T: number,
): HostTensor | string {
  const step = stepOf(point, config);
  if (!step) return "no such trace point in this model";
  const axis = tokenAxis(point);
  const tokens = shape[axis] ?? 0;
  const found = `[${shape.join(", ")}]`;
  if (tokens < 1 || tokens > T) return `${found}: tokens should be 1 to ${T}`;
  if (axis === 1) {
    const wanted = [config.numAttentionHeads, tokens, ...(point.endsWith(".sink") ? [] : [tokens])];
    if (shape.join() !== wanted.join()) return `${found}: expected [${wanted.join(", ")}]`;
    if (!point.endsWith(".scores")) return { shape, data };
    return { shape, data: data.map((x) => (x <= MASKED ? Number.NEGATIVE_INFINITY : x)) };
  }
  if (data.length !== tokens * step.width!) return `${found}: expected ${step.width} values a token`;
  if (!point.endsWith(".expert_ids")) return { shape, data };
  const bad = data.find((id) => !(Number.isInteger(id) && id >= 0 && id < config.numExperts));
  if (bad !== undefined) return `${bad} is no expert: expected 0 to ${config.numExperts - 1}`;
  return { shape, data: Int32Array.from(data) };
}

/** No score is so low; runtimes mask with −∞, or the least float32, bfloat16 or float16, or −10⁴. */
const MASKED = -9000;

/** Tokens of the prompt that an activation holds: [first, end). The last of them all where norm or logits are of one. */
export function tokensHeld(point: string, { shape }: HostTensor, T: number): [first: number, end: number] {
  const held = shape[tokenAxis(point)]!;
  const lastOnly = held === 1 && (point === "norm" || point === "logits");
  return lastOnly ? [T - 1, T] : [0, held];
}

/** A run of values in a chunk's activation, and where the same ones lie in that of the whole prompt. */
interface Run {
  readonly ours: number;
  readonly theirs: number;
  readonly length: number;
}

function* runs(
  point: string,
  ours: HostTensor,
  theirs: HostTensor,
  start: number,
  T: number,
): Generator<Run> {
  const axis = tokenAxis(point);
  const chunk = ours.shape[axis]!;
  const [held, heldEnd] = tokensHeld(point, theirs, T);
  const first = Math.max(start, held);
  const end = Math.min(start + chunk, heldEnd);
  if (axis === 0) {
    const width = ours.data.length / chunk;
    if (first < end)
      yield { ours: (first - start) * width, theirs: (first - held) * width, length: (end - first) * width };
    return;
  }
  // [heads, chunk] or [heads, chunk, keys]: keys end with the chunk, older ones may be out of the window
  const keys = ours.shape[2];
  const firstKey = keys === undefined ? 0 : start + chunk - keys;
  for (let head = 0; head < ours.shape[0]!; head++) {
    for (let t = first; t < end; t++) {
      const row = head * chunk + t - start;
      const theirRow = head * heldEnd + t;
      if (keys === undefined) yield { ours: row, theirs: theirRow, length: 1 };
      else {
        const length = Math.min(keys, heldEnd - firstKey);
        yield { ours: row * keys, theirs: theirRow * heldEnd + firstKey, length };
      }
    }
  }
}

/**
 * A hook that puts their values in the place of ours, for the tokens that they have.
 *
 * @param start position of the pass's first token
 */
export function forcing({ points, ids }: Theirs, start: number): Hook {
  return (ours, point) => {
    const theirs = points.get(point);
    if (!theirs || point.endsWith(".sink")) return undefined; // nothing follows from the sink's share
    const data = ours.data.slice();
    for (const run of runs(point, ours, theirs, start, ids.length))
      data.set(theirs.data.subarray(run.theirs, run.theirs + run.length), run.ours);
    return { shape: ours.shape, data };
  };
}

/** Copies a chunk's values to where theirs has them, in an array of theirs' layout. */
export function layOut(
  point: string,
  ours: HostTensor,
  theirs: HostTensor,
  start: number,
  T: number,
  into: HostTensor["data"],
): void {
  for (const run of runs(point, ours, theirs, start, T))
    into.set(ours.data.subarray(run.ours, run.ours + run.length), run.theirs);
}
