import { quantizeQ8_0 } from "../../numerics/q8-0.ts";
import type { SynthTensor } from "./model.ts";

/** How a GGUF file stores embeddings and attention matrices. */
export type DenseType = "bf16" | "f32" | "q8_0";

/** A BF16 tensor in another type. */
export function denseRows(tensor: SynthTensor, type: DenseType): SynthTensor {
  if (type === "bf16") return tensor;
  const cols = tensor.rowBytes / 2;
  const rowBytes = type === "f32" ? cols * 4 : (cols / 32) * 34;
  return {
    ...tensor,
    dtype: type.toUpperCase(),
    rowBytes,
    fill: (firstRow, out) => {
      const values = new Uint16Array((out.length / rowBytes) * cols);
      tensor.fill(firstRow, new Uint8Array(values.buffer));
      if (type === "q8_0") quantizeQ8_0(widen(values), out);
      else out.set(new Uint8Array(widen(values).buffer));
    },
  };
}

function widen(values: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(values, (bits) => bits << 16).buffer);
}
