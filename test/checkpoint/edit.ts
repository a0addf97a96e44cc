import { MemoryFile } from "../../src/checkpoint/file.ts";
import { GGML_TYPES, readGguf } from "../../src/checkpoint/gguf.ts";
import { encodeSafetensorsHeader, readSafetensors } from "../../src/checkpoint/safetensors.ts";
import { changed, type Files } from "./files.ts";
import { join, pair, TYPE, text, u32, u64 } from "./gguf-bytes.ts";

/** A change of the tensors in model.safetensors that leaves the file itself sound. */
export interface Change {
  readonly drop?: RegExp;
  readonly rename?: readonly [RegExp, string];
  readonly retype?: readonly [RegExp, string];
  readonly add?: {
    readonly name: string;
    readonly dtype: "BF16" | "F32" | string;
    readonly shape: readonly number[];
  };
  /** Puts a byte into the tensors that match. */
  readonly poke?: readonly [RegExp, offset: number, value: number];
}

export async function edited(files: Files, { drop, rename, retype, add, poke }: Change): Promise<Files> {
  const name = "model.safetensors";
  const file = new MemoryFile(name, files.get(name)!);
  const { tensors } = await readSafetensors(file);
  const entries: { name: string; dtype: string; shape: readonly number[]; bytes: number }[] = [];
  const pieces: Uint8Array[] = [];
  for (const tensor of tensors.values()) {
    if (drop?.test(tensor.name)) continue;
    const bytes = await file.read(tensor.offset, tensor.bytes);
    if (poke?.[0].test(tensor.name)) bytes[poke[1]] = poke[2];
    entries.push({
      name: rename ? tensor.name.replace(...rename) : tensor.name,
      dtype: retype?.[0].test(tensor.name) ? retype[1] : tensor.dtype,
      shape: tensor.shape,
      bytes: tensor.bytes,
    });
    pieces.push(bytes);
  }
  if (add) {
    const bytes = add.shape.reduce((a, b) => a * b, add.dtype === "F32" ? 4 : 2);
    entries.push({ ...add, bytes });
    pieces.push(new Uint8Array(bytes));
  }
  return changed(files, name, join(encodeSafetensorsHeader(entries), ...pieces));
}

export interface GgufTensor {
  readonly name: string;
  /** As in the file, the contiguous one first. */
  readonly dimensions: readonly number[];
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** What a GGUF file consists of, to be put together otherwise. */
export async function ggufParts(files: Files): Promise<{ pairs: Uint8Array[]; tensors: GgufTensor[] }> {
  const [[name, bytes]] = [...files] as [[string, Uint8Array]];
  const file = new MemoryFile(name, bytes);
  const { metadata, tensors } = await readGguf(file);
  const pairs: Uint8Array[] = [];
  for (const [key, item] of metadata.values) {
    if (item.type === "array") {
      const elements = await file.read(item.offset, item.bytes);
      pairs.push(pair(key, TYPE.array, join(u32(TYPE[item.elementType]), u64(item.count), elements)));
    } else if (item.type === "string") pairs.push(pair(key, TYPE.string, text(item.value)));
    else if (item.type === "u32") pairs.push(pair(key, TYPE.u32, u32(Number(item.value))));
    else pairs.push(pair(key, TYPE.f32, new Uint8Array(Float32Array.of(Number(item.value)).buffer)));
  }
  const parts: GgufTensor[] = [];
  for (const tensor of tensors.values()) {
    const [type] = [...GGML_TYPES].find(([, [dtype]]) => dtype === tensor.dtype)!;
    const data = await file.read(tensor.offset, tensor.bytes);
    parts.push({ name: tensor.name, dimensions: tensor.shape.toReversed(), type, bytes: data });
  }
  return { pairs, tensors: parts };
}
