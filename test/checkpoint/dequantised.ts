import type { OpenCheckpoint } from "../../src/checkpoint/open.ts";
import { encodeSafetensorsHeader } from "../../src/checkpoint/safetensors.ts";
import { changed, changedJson, type Files, readValues } from "./files.ts";

type Dtype = "BF16" | "F16" | "F32";

/**
 * A checkpoint in Hugging Face's layout with its experts as transformers saves them after dequantising:
 * plain numbers, transposed to [experts, in, out].
 */
export async function dequantised(files: Files, checkpoint: OpenCheckpoint, dtype: Dtype): Promise<Files> {
  const tensors: { name: string; dtype: string; shape: readonly number[]; bytes: number }[] = [];
  const pieces: Uint8Array[] = [];
  const add = (name: string, type: string, shape: readonly number[], piece: Uint8Array): void => {
    tensors.push({ name, dtype: type, shape, bytes: piece.length });
    pieces.push(piece);
  };
  for (const tensor of checkpoint.tensors.values()) {
    if (/_(blocks|scales)$/.test(tensor.name)) continue;
    add(tensor.name, tensor.dtype, tensor.shape, await tensor.file.read(tensor.offset, tensor.bytes));
  }
  for (const [i, { moe }] of checkpoint.weights.layers.entries()) {
    for (const [name, { weight }] of Object.entries({ gate_up_proj: moe.gateUp, down_proj: moe.down })) {
      const { matrices, rows, cols } = weight;
      const stack = (await readValues(weight)).map((matrix) => encode(transpose(matrix, rows, cols), dtype));
      const bytes = new Uint8Array(stack.reduce((length, piece) => length + piece.length, 0));
      for (const [e, piece] of stack.entries()) bytes.set(piece, e * piece.length);
      add(`model.layers.${i}.mlp.experts.${name}`, dtype, [matrices, cols, rows], bytes);
    }
  }
  const header = encodeSafetensorsHeader(tensors, { format: "pt" });
  const file = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, header.length));
  file.set(header);
  let at = header.length;
  for (const piece of pieces) {
    file.set(piece, at);
    at += piece.length;
  }
  return changedJson(changed(files, "model.safetensors", file), "config.json", {
    quantization_config: undefined,
  });
}

function transpose(matrix: Float32Array, rows: number, cols: number): Float32Array {
  return Float32Array.from(matrix, (_, i) => matrix[(i % rows) * cols + Math.floor(i / rows)]!);
}

/** Exact for values of MXFP4 that are neither tiny nor huge. */
function encode(values: Float32Array, dtype: Dtype): Uint8Array {
  const bits = new Uint32Array(values.buffer);
  if (dtype === "F32") return new Uint8Array(values.buffer);
  const halves = Uint16Array.from(bits, (u) => {
    if (dtype === "BF16") return u >>> 16;
    const sign = (u >>> 16) & 0x8000;
    return (u & 0x7fffffff) === 0 ? sign : sign | (((u & 0x7fffffff) - 0x38000000) >>> 13);
  });
  return new Uint8Array(halves.buffer);
}
