import type { EncodedRows, WeightSource, WeightSources } from "../../checkpoint/weights.ts";
import type { ModelConfig } from "../../config.ts";
import type { HostTensor, Ops, Tensor } from "../../engine/ops.ts";
import { dequantize } from "../../engine/reference/dequantize.ts";

/**
 * A mutant is a correct run with one named change, a bug that some runtime had or could have. Each says what it changes of the
 * configuration, the weights or the operations; `src/model` runs it without knowing. Mutants assume one pass over one sequence from
 * position 0 on, so that row t of an activation is position t.
 */
export interface Mutant {
  readonly name: string;
  readonly family: Family;
  /** What is wrong, in one sentence. */
  readonly description: string;
  /** Who had it, or why one might. */
  readonly seen: string;
  readonly fix: string;
  /** First position whose logits can show it; default 0. Infinity for a shape on which it changes nothing. */
  readonly from?: (config: ModelConfig) => number;
  readonly change: Change;
}

export type Family = "rope" | "window" | "sinks" | "attention" | "router" | "swiglu" | "weights" | "stream";

export interface Change {
  readonly config?: (config: ModelConfig) => ModelConfig;
  readonly weights?: (weights: WeightSources, config: ModelConfig) => WeightSources;
  /** Called for every run anew: what it remembers lasts one pass. */
  readonly ops?: (ops: Ops, config: ModelConfig) => Ops;
}

/** Several changes as one; the first is applied first. */
export function combined(changes: readonly Change[]): Required<Change> {
  return {
    config: (config) => changes.reduce((c, change) => change.config?.(c) ?? c, config),
    weights: (weights, config) => changes.reduce((w, change) => change.weights?.(w, config) ?? w, weights),
    ops: (ops, config) => changes.reduce((o, change) => change.ops?.(o, config) ?? o, ops),
  };
}

/** The same operations but for some. */
export function override(ops: Ops, changes: Partial<Ops>): Ops {
  return new Proxy(ops, {
    get(target, name) {
      const changed = changes[name as keyof Ops];
      if (changed !== undefined) return changed;
      const value = target[name as keyof Ops];
      return typeof value === "function" ? value.bind(target) : value; // engines have private fields
    },
  });
}

/** A tensor computed by plain code from another's values. */
export function computed(
  ops: Ops,
  x: Tensor,
  compute: (data: Float64Array, shape: readonly number[]) => Float64Array,
  shape: readonly number[] = x.shape,
): Tensor {
  const { data } = ops.read(x);
  return ops.write(hostTensor(ops, shape, compute(Float64Array.from(data), x.shape)));
}

/** Plain numbers in the type that the engine reads and writes. */
export function hostTensor(ops: Ops, shape: readonly number[], data: Float64Array): HostTensor {
  return { shape, data: ops.dialect.name === "f64" ? data : Float32Array.from(data) };
}

/** Layer and place of each call of an operation that every layer calls n times: tells 0, 1, 2, … since `embed`. */
export function countedSinceEmbed(ops: Ops): { next: () => number; embed: Ops["embed"] } {
  let calls = 0;
  return {
    next: () => calls++,
    embed: (table, ids) => {
      calls = 0;
      return ops.embed(table, ids);
    },
  };
}

/** A weight whose rows are changed as they are read, in the same encoding. */
export function changedRows(
  source: WeightSource,
  change: (rows: EncodedRows, matrix: number, first: number) => EncodedRows,
): WeightSource {
  const { name, encoding, matrices, rows, cols } = source;
  const readRows: WeightSource["readRows"] = async (matrix, first, count) =>
    change(await source.readRows(matrix, first, count), matrix, first);
  return { name, encoding, matrices, rows, cols, readRows }; // not `stored`: the bytes on file are others
}

/** A weight whose matrices are decoded and changed as a whole, and then are float32; small ones only. */
export function changedMatrices(
  source: WeightSource,
  change: (values: Float32Array, rows: number, cols: number) => Float32Array,
): WeightSource {
  const { name, matrices, rows, cols } = source;
  const kept = new Map<number, Float32Array>();
  const matrixOf = async (matrix: number): Promise<Float32Array> => {
    const values = kept.get(matrix) ?? change(dequantize(await source.readRows(matrix, 0, rows)), rows, cols);
    kept.set(matrix, values);
    return values;
  };
  return {
    ...{ name, encoding: "f32", matrices, rows, cols },
    async readRows(matrix, first, count) {
      const part = (await matrixOf(matrix)).slice(first * cols, (first + count) * cols);
      return { encoding: "f32", rows: count, cols, data: new Uint8Array(part.buffer) };
    },
  };
}

/** A vector with each value changed. */
export function changedVector(source: WeightSource, change: (value: number) => number): WeightSource {
  return changedMatrices(source, (values) => values.map(change));
}

/** All layers' weights changed alike. */
export function everyLayer(
  weights: WeightSources,
  change: (layer: WeightSources["layers"][number], index: number) => WeightSources["layers"][number],
): WeightSources {
  return { ...weights, layers: weights.layers.map(change) };
}

/** First position beyond the window, if some layer has one. */
export function beyondWindow({ layerTypes, slidingWindow }: ModelConfig): number {
  return layerTypes.includes("sliding") ? slidingWindow : Number.POSITIVE_INFINITY;
}
