import { CheckpointError } from "../errors.ts";
import type { RandomAccessFile } from "./file.ts";
import { GgufCursor } from "./gguf-cursor.ts";
import { GgufMetadata, type GgufValue, readMetadata, readString } from "./gguf-metadata.ts";
import { type StoredTensor, showShape, type TensorMap } from "./tensors.ts";

export { type GgufArray, GgufMetadata, type GgufScalar, type GgufValue } from "./gguf-metadata.ts";

/**
 * GGUF (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3, little endian: "GGUF", the
 * version, counts of tensors and of metadata pairs, the pairs, an entry a tensor, padding, the tensors' bytes.
 */
export interface Gguf {
  readonly metadata: GgufMetadata;
  readonly tensors: TensorMap;
}

/** ggml's types by number: name, values in a block, bytes of a block. Numbers that are left out were never or are no longer in use. */
export const GGML_TYPES: ReadonlyMap<number, readonly [name: string, block: number, bytes: number]> = new Map(
  [
    [0, ["F32", 1, 4]],
    [1, ["F16", 1, 2]],
    [2, ["Q4_0", 32, 18]],
    [3, ["Q4_1", 32, 20]],
    [6, ["Q5_0", 32, 22]],
    [7, ["Q5_1", 32, 24]],
    [8, ["Q8_0", 32, 34]],
    [9, ["Q8_1", 32, 40]],
    [10, ["Q2_K", 256, 84]],
    [11, ["Q3_K", 256, 110]],
    [12, ["Q4_K", 256, 144]],
    [13, ["Q5_K", 256, 176]],
    [14, ["Q6_K", 256, 210]],
    [15, ["Q8_K", 256, 292]],
    [16, ["IQ2_XXS", 256, 66]],
    [17, ["IQ2_XS", 256, 74]],
    [18, ["IQ3_XXS", 256, 98]],
    [19, ["IQ1_S", 256, 50]],
    [20, ["IQ4_NL", 32, 18]],
    [21, ["IQ3_S", 256, 110]],
    [22, ["IQ2_S", 256, 82]],
    [23, ["IQ4_XS", 256, 136]],
    [24, ["I8", 1, 1]],
    [25, ["I16", 1, 2]],
    [26, ["I32", 1, 4]],
    [27, ["I64", 1, 8]],
    [28, ["F64", 1, 8]],
    [29, ["IQ1_M", 256, 56]],
    [30, ["BF16", 1, 2]],
    [34, ["TQ1_0", 256, 54]],
    [35, ["TQ2_0", 256, 66]],
    [39, ["MXFP4", 32, 17]],
    [40, ["NVFP4", 64, 36]],
    [41, ["Q1_0", 128, 18]],
  ],
);

const MAX_PAIRS = 2 ** 16;
const MAX_TENSORS = 2 ** 17;
const MAX_NAME = 64;
const MAX_DIMENSIONS = 4;
const MAX_ALIGNMENT = 2 ** 20;

/** Ollama's first gpt-oss files came before llama.cpp's format, and differ in names, type numbers and order of nibbles. */
export const OLLAMA_HINT =
  "This is Ollama's early variant: take a GGUF file made by llama.cpp's converter, or the safetensors.";

/** Reads and checks everything ahead of the tensors' bytes, which stay where they are. */
export async function readGguf(file: RandomAccessFile): Promise<Gguf> {
  const cursor = new GgufCursor(file);
  await cursor.need(24, "a GGUF header");
  const magic = String.fromCharCode(...cursor.bytes(4));
  if (magic !== "GGUF") {
    throw new CheckpointError("not a GGUF file", { where: file.name, expected: "GGUF", found: magic });
  }
  checkVersion(cursor.u32(), file.name);
  const tensorCount = cursor.size(MAX_TENSORS, "the number of tensors");
  const pairCount = cursor.size(MAX_PAIRS, "the number of metadata pairs");
  const values = await readMetadata(cursor, pairCount);
  const alignment = readAlignment(values, file.name);
  const tensors = new Map<string, StoredTensor>();
  for (let i = 0; i < tensorCount; i++) {
    const tensor = await readTensor(cursor, alignment);
    if (tensors.has(tensor.name)) cursor.fail("two tensors have the same name", undefined, tensor.name);
    tensors.set(tensor.name, tensor);
  }
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  for (const [name, tensor] of tensors) tensors.set(name, { ...tensor, offset: dataStart + tensor.offset });
  checkPlaces(tensors, file);
  return { metadata: new GgufMetadata(values, file), tensors };
}

function checkVersion(version: number, where: string): void {
  if (version === 2 || version === 3) return;
  const swapped = version > 0 && version % 2 ** 24 === 0;
  throw new CheckpointError("unsupported version of GGUF", {
    where,
    expected: "2 or 3",
    found: version,
    ...(swapped ? { hint: "The file is big-endian: convert it for little-endian machines." } : {}),
  });
}

function readAlignment(values: ReadonlyMap<string, GgufValue>, where: string): number {
  const item = values.get("general.alignment");
  if (item === undefined) return 32;
  const alignment = item.type === "u32" ? Number(item.value) : 0;
  const powerOfTwo = (alignment & (alignment - 1)) === 0;
  if (alignment < 8 || alignment > MAX_ALIGNMENT || !powerOfTwo) {
    throw new CheckpointError("the alignment is impossible", {
      where: `${where}, general.alignment`,
      expected: `a power of two from 8 to ${MAX_ALIGNMENT}, of type u32`,
      found: item.type === "array" ? "an array" : String(item.value),
    });
  }
  return alignment;
}

/** Reads a tensor's entry; its offset is still relative to the start of the data. */
async function readTensor(cursor: GgufCursor, alignment: number): Promise<StoredTensor> {
  const name = await readString(cursor, MAX_NAME, "a tensor's name");
  await cursor.need(4, name);
  const dimensions = cursor.u32();
  if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
    cursor.fail(`${name} has an impossible number of dimensions`, `1 to ${MAX_DIMENSIONS}`, dimensions);
  }
  await cursor.need(dimensions * 8 + 12, name);
  const { file } = cursor;
  // 4 bits a value at the very least: more values can't lie in the file
  const maxSize = Math.max(file.size * 8, 1);
  const sizes = Array.from({ length: dimensions }, () => cursor.size(maxSize, `a dimension of ${name}`));
  if (sizes.includes(0)) cursor.fail(`${name} has a dimension of 0`);
  const typeNumber = cursor.u32();
  const type = GGML_TYPES.get(typeNumber);
  if (type === undefined) {
    throw new CheckpointError("a tensor has an unknown type", {
      where: `${file.name}, ${name}`,
      found: typeNumber,
      ...(typeNumber === 4 ? { hint: OLLAMA_HINT } : {}),
    });
  }
  const [dtype, block, blockBytes] = type;
  const shape = sizes.reverse();
  const cols = shape.at(-1)!;
  if (cols % block !== 0) {
    cursor.fail(`rows of ${name} are no whole number of blocks`, `a multiple of ${block} for ${dtype}`, cols);
  }
  // exact, or far beyond the file's size
  const bytes = (shape.reduce((a, b) => a * b, 1) / block) * blockBytes;
  const offset = cursor.size(Number.MAX_SAFE_INTEGER, `the offset of ${name}`);
  if (offset % alignment !== 0) cursor.fail(`${name} is not aligned`, `a multiple of ${alignment}`, offset);
  if (offset + bytes > file.size) {
    throw new CheckpointError("a tensor reaches beyond the end of the file", {
      where: `${file.name}, ${name}`,
      expected: `at most ${file.size} bytes`,
      found: `${bytes} bytes of ${dtype} ${showShape(shape)} at ${offset}`,
      hint: "The download may be incomplete.",
    });
  }
  return { name, dtype, shape, file, offset, bytes };
}

/** Tensors must lie within the file and apart from each other. */
function checkPlaces(tensors: TensorMap, file: RandomAccessFile): void {
  const inOrder = [...tensors.values()].sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const { name, offset, bytes } of inOrder) {
    if (offset < end) throw new CheckpointError("tensors overlap", { where: `${file.name}, ${name}` });
    end = offset + bytes;
  }
  if (end > file.size) {
    throw new CheckpointError("a tensor reaches beyond the end of the file", {
      where: `${file.name}, ${inOrder.at(-1)!.name}`,
      expected: `at least ${end} bytes`,
      found: file.size,
      hint: "The download may be incomplete.",
    });
  }
}
