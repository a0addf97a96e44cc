import type { HostTensor, Ring, Tensor } from "../ops.ts";

/**
 * An activation of the reference engine. Values lie in float64 in every dialect, already rounded to what the dialect's
 * activations can hold; ids are int32.
 */
export interface ReferenceTensor extends Tensor {
  readonly data: Float64Array | Int32Array;
}

export function tensor(shape: readonly number[], data: Float64Array | Int32Array): ReferenceTensor {
  return { shape, data };
}

/** The engine only ever meets tensors that it made itself. */
export function valuesOf(x: Tensor): Float64Array {
  return (x as ReferenceTensor).data as Float64Array;
}

export function idsOf(x: Tensor): Int32Array {
  return (x as ReferenceTensor).data as Int32Array;
}

/** Product of all dimensions but the last: the number of rows of the last dimension. */
export function rowsOf(shape: readonly number[]): number {
  return shape.slice(0, -1).reduce((product, n) => product * n, 1);
}

export function lastOf(shape: readonly number[]): number {
  return shape[shape.length - 1]!;
}

export interface ReferenceRing extends Ring {
  readonly headDim: number;
  /** Values in a row: all heads. */
  readonly width: number;
  readonly keys: Float32Array | Float64Array;
  readonly values: Float32Array | Float64Array;
}

export function ringOf(ring: Ring): ReferenceRing {
  return ring as ReferenceRing;
}

/** Copies out, in float32 unless float64 is asked for. */
export function toHost(x: Tensor, float64: boolean): HostTensor {
  const { shape, data } = x as ReferenceTensor;
  if (data instanceof Int32Array) return { shape, data: data.slice() };
  return { shape, data: float64 ? data.slice() : Float32Array.from(data) };
}
