import type { SynthTensor } from "./model.ts";

/** How a GGUF file stores embeddings and attention matrices. */
export type DenseType = "bf16" | "f32" | "q8_0";

/** A BF16 tensor in another type. */
export function denseRows(tensor: SynthTensor, type: DenseType): SynthTensor {
  if (type === "bf16") return tensor;
  const cols = tensor.rowBytes / 2;
  const rowBytes = type === "f32" ? cols * 4 : (cols / 32) * 34;
  const convert = type === "f32" ? widen : quantizeQ8_0;
  return {
    ...tensor,
    dtype: type.toUpperCase(),
    rowBytes,
    fill: (firstRow, out) => {
      const values = new Uint16Array((out.length / rowBytes) * cols);
      tensor.fill(firstRow, new Uint8Array(values.buffer));
      convert(values, out);
    },
  };
}

function widen(values: Uint16Array, out: Uint8Array): void {
  const words = new Uint32Array(out.buffer, out.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) words[i] = values[i]! << 16;
}

/** As ggml's `quantize_row_q8_0_ref`: the scale is the largest magnitude over 127, values round half away from zero. */
function quantizeQ8_0(values: Uint16Array, out: Uint8Array): void {
  const words = new Uint32Array(values.length);
  for (let i = 0; i < words.length; i++) words[i] = values[i]! << 16;
  const floats = new Float32Array(words.buffer);
  for (let block = 0, to = 0; block < floats.length; block += 32) {
    let largest = 0;
    for (let i = block; i < block + 32; i++) largest = Math.max(largest, Math.abs(floats[i]!));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const half = encodeFloat16(scale);
    out[to++] = half & 255;
    out[to++] = half >> 8;
    for (let i = block; i < block + 32; i++) {
      const x = Math.fround(floats[i]! * inverse);
      out[to++] = x < 0 ? -Math.floor(0.5 - x) : Math.floor(x + 0.5);
    }
  }
}

const f32 = new Float32Array(1);
const bits = new Uint32Array(f32.buffer);

/** A positive float32 below 65520 to float16, to nearest, ties to even. */
function encodeFloat16(x: number): number {
  if (x < 2 ** -14) return roundHalfEven(x * 2 ** 24); // subnormal: multiples of 2^-24
  f32[0] = x;
  const u = bits[0]! + 0xfff + ((bits[0]! >>> 13) & 1);
  return (u - 0x38000000) >>> 13;
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0);
}
