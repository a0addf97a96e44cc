import type { HostTensor } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import type { Trace } from "../oracle/trace.ts";

/** What one attention head looks at. */
export interface Head {
  readonly layer: number;
  readonly head: number;
  /** pattern[query][key], a query's row and its sink sum to 1. */
  readonly pattern: readonly HostTensor["data"][];
  /** Share of each query that goes to the sink, that is, to nothing. [T] */
  readonly sink: HostTensor["data"];
  /** Means over the queries: share of the sink, of the query's own token, the one before it, the first one. */
  readonly toSink: number;
  readonly toSelf: number;
  readonly toPrevious: number;
  readonly toFirst: number;
  /** Mean distance of the tokens attended to, the sink left out, in tokens. */
  readonly distance: number;
}

/**
 * Attention patterns, head by head.
 *
 * @param activations with `layers.*.attn.weights` and `.sink`
 */
export function attentionHeads(activations: Trace): Head[] {
  const all: Head[] = [];
  for (const [point, { shape, data }] of activations) {
    const layer = /^layers\.(\d+)\.attn\.weights$/.exec(point)?.[1];
    if (layer === undefined) continue;
    const [heads, T] = shape as [number, number];
    const sinks = activations.get(`layers.${layer}.attn.sink`)?.data;
    if (!sinks) throw new UsageError("the sink's share is missing", { where: `layers.${layer}.attn.sink` });
    for (let head = 0; head < heads; head++) {
      const rowAt = (t: number): number => (head * T + t) * T;
      const pattern = Array.from({ length: T }, (_, t) => data.subarray(rowAt(t), rowAt(t) + T));
      const sink = sinks.subarray(head * T, (head + 1) * T);
      let [attended, reach] = [0, 0];
      for (const [query, row] of pattern.entries()) {
        for (const [key, weight] of row.entries()) {
          attended += weight;
          reach += weight * (query - key);
        }
      }
      all.push({
        layer: Number(layer),
        head,
        pattern,
        sink,
        toSink: mean(Array.from(sink)),
        toSelf: mean(pattern.map((row, t) => row[t]!)),
        toPrevious: mean(pattern.slice(1).map((row, t) => row[t]!)),
        toFirst: mean(pattern.map((row) => row[0]!)),
        distance: attended === 0 ? 0 : reach / attended,
      });
    }
  }
  return all;
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((a, b) => a + b, 0) / values.length;
}
