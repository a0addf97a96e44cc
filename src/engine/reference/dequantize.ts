import type { EncodedRows } from "../../checkpoint/weights.ts";
import { decodeFloat16 } from "../../numerics/float.ts";
import { dequantizeMxfp4 } from "../../numerics/mxfp4.ts";
import { dequantizeQ8_0 } from "../../numerics/q8-0.ts";

/** Rows of a weight as float32 [rows, cols], which holds every encoding exactly. */
export function dequantize(encoded: EncodedRows): Float32Array {
  const { encoding, data } = encoded;
  const out = new Float32Array(encoded.rows * encoded.cols);
  switch (encoding) {
    case "f32":
      new Uint8Array(out.buffer).set(data.subarray(0, out.byteLength));
      break;
    case "bf16": {
      const bits = new Uint32Array(out.buffer);
      for (let i = 0; i < out.length; i++) bits[i] = (data[2 * i]! | (data[2 * i + 1]! << 8)) << 16;
      break;
    }
    case "f16":
      for (let i = 0; i < out.length; i++) out[i] = decodeFloat16(data[2 * i]! | (data[2 * i + 1]! << 8));
      break;
    case "q8_0":
      dequantizeQ8_0(data, out);
      break;
    case "mxfp4":
      dequantizeMxfp4(data, encoded.scales!, out);
      break;
  }
  return out;
}
