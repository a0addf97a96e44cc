import type { EncodedRows } from "../../checkpoint/weights.ts";
import { decodeFloats } from "../../numerics/float.ts";
import { dequantizeMxfp4 } from "../../numerics/mxfp4.ts";
import { dequantizeQ8_0 } from "../../numerics/q8-0.ts";

/** Rows of a weight as float32 [rows, cols], which holds every encoding exactly. */
export function dequantize(encoded: EncodedRows): Float32Array {
  const { encoding, data } = encoded;
  const out = new Float32Array(encoded.rows * encoded.cols);
  switch (encoding) {
    case "q8_0":
      dequantizeQ8_0(data, out);
      break;
    case "mxfp4":
      dequantizeMxfp4(data, encoded.scales!, out);
      break;
    default:
      decodeFloats(encoding, data, out);
  }
  return out;
}
