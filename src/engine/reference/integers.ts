import type { EncodedRows } from "../../checkpoint/weights.ts";
import { roundToEven } from "../../numerics/float.ts";
import { unpackMxfp4 } from "../../numerics/mxfp4.ts";
import { unpackQ8_0 } from "../../numerics/q8-0.ts";

/** Products of integers, for dialects that quantise activations ahead of quantised weights: blocks of 32 along the columns. */

/** Rows of a Q8_0 or MXFP4 weight. */
export interface IntegerRows {
  readonly values: Int8Array;
  /** One a block. */
  readonly scales: Float32Array;
  /** What a value of 1 under a scale of 1 stands for: ½ where values are doubled, to be integers. */
  readonly unit: number;
}

/** Bytes of an {@link IntegerRows} a value. */
export const BYTES_PER_INTEGER: number = 1 + Float32Array.BYTES_PER_ELEMENT / 32;

export function toIntegers({ encoding, rows, cols, data, scales: scaleBytes }: EncodedRows): IntegerRows {
  const values = new Int8Array(rows * cols);
  const scales = new Float32Array(values.length / 32);
  if (encoding === "q8_0") {
    unpackQ8_0(data, values, scales);
    return { values, scales, unit: 1 };
  }
  unpackMxfp4(data, scaleBytes!, values, scales);
  return { values, scales, unit: 0.5 };
}

/** Activations as integers, and a scale a block. */
export interface QuantizedActivations {
  readonly values: Int16Array;
  readonly scales: Float32Array;
}

/**
 * x[i] as round(x[i] / scale), the scale of each block such that its largest magnitude becomes 127 or 32639.
 *
 * @param x rows of a multiple of 32 values, one after the other
 */
export function quantizeActivations(x: Float64Array, bits: 16 | 8): QuantizedActivations {
  const f = Math.fround;
  const largest = bits === 16 ? 32639 : 127; // 256 · 127 + 127: what two signed bytes can hold
  const smallest = bits === 16 ? -32768 : -128; // reached by ∞ alone, where 1 / max overflows
  const values = new Int16Array(x.length); // stores NaN as 0, as what 0 · ∞ gives in a block of zeros
  const scales = new Float32Array(x.length / 32);
  for (let block = 0; block < scales.length; block++) {
    let max = 0;
    for (let i = block * 32; i < (block + 1) * 32; i++) max = Math.max(max, Math.abs(x[i]!)); // passes NaN on
    scales[block] = max / largest;
    const inverse = f(largest / max);
    for (let i = block * 32; i < (block + 1) * 32; i++) {
      values[i] = Math.max(smallest, Math.min(largest, roundToEven(f(x[i]! * inverse))));
    }
  }
  return { values, scales };
}

/** Row t of the activations times row r of the weights: exact within a block, in float32 from block to block. */
export function integerDot(
  x: QuantizedActivations,
  t: number,
  w: IntegerRows,
  r: number,
  cols: number,
): number {
  const f = Math.fround;
  let total = 0;
  for (let block = 0; block < cols / 32; block++) {
    const xBlock = (t * cols) / 32 + block;
    const wBlock = (r * cols) / 32 + block;
    let sum = 0;
    for (let i = 0; i < 32; i++) sum += x.values[xBlock * 32 + i]! * w.values[wBlock * 32 + i]!;
    const scale = f(w.scales[wBlock]! * f(w.unit * x.scales[xBlock]!));
    total = f(total + f(f(sum) * scale));
  }
  return total;
}
