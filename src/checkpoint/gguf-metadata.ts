import { CheckpointError } from "../errors.ts";
import type { RandomAccessFile } from "./file.ts";
import type { GgufCursor } from "./gguf-cursor.ts";

/** Types of metadata values, by their number in the file. */
const TYPES = [
  ...["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"],
] as const;

type NumberType = "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "f64" | "u64" | "i64";

/** An integer beyond 2^53 is a bigint. */
export type GgufScalar =
  | { readonly type: "f32" | "f64"; readonly value: number }
  | { readonly type: Exclude<NumberType, "f32" | "f64">; readonly value: number | bigint }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "string"; readonly value: string };

/** An array stays in the file: a tokenizer's have up to 450 000 strings. */
export interface GgufArray {
  readonly type: "array";
  readonly elementType: NumberType | "bool" | "string";
  readonly count: number;
  /** Of the first element in the file. */
  readonly offset: number;
  readonly bytes: number;
}

export type GgufValue = GgufScalar | GgufArray;

const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  ...{ u8: 1, i8: 1, bool: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, u64: 8, i64: 8, f64: 8 },
};

/** gpt-oss's longest array has 446 189 elements; its longest string, the chat template, 17 KB. */
const MAX_ELEMENTS = 2 ** 24;
const MAX_STRING = 2 ** 24;
/** GGUF allows 65535 bytes; but keys end up in messages, and real ones have some 50. */
const MAX_KEY = 1024;

/** The key-value pairs of a GGUF file. */
export class GgufMetadata {
  readonly values: ReadonlyMap<string, GgufValue>;
  readonly #file: RandomAccessFile;

  constructor(values: ReadonlyMap<string, GgufValue>, file: RandomAccessFile) {
    this.values = values;
    this.#file = file;
  }

  /** A string, or undefined if the key is absent. */
  string(key: string): string | undefined {
    const item = this.values.get(key);
    if (item === undefined) return undefined;
    return item.type === "string" ? item.value : this.#wrongType(key, "string", item);
  }

  /** An integer such as a token's id, or undefined if the key is absent. */
  integer(key: string): number | undefined {
    const item = this.values.get(key);
    if (item === undefined) return undefined;
    if (typeof item === "object" && item.type !== "array" && Number.isSafeInteger(item.value))
      return item.value as number;
    return this.#wrongType(key, "integer", item);
  }

  /** An array of strings, such as `tokenizer.ggml.tokens`, or undefined if the key is absent. */
  async strings(key: string): Promise<string[] | undefined> {
    const array = this.#array(key, ["string"]);
    if (array === undefined) return undefined;
    const bytes = await this.#file.read(array.offset, array.bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const strings: string[] = [];
    for (let i = 0, at = 0; i < array.count; i++) {
      const length = view.getUint32(at, true); // the upper half was seen to be 0 when the array was skipped
      at += 8;
      strings.push(decode(bytes.subarray(at, at + length), `${this.#file.name}, ${key}[${i}]`));
      at += length;
    }
    return strings;
  }

  /** An array of 32-bit integers, such as `tokenizer.ggml.token_type`, or undefined if the key is absent. */
  async int32s(key: string): Promise<Int32Array | undefined> {
    const array = this.#array(key, ["i32", "u32"]);
    if (array === undefined) return undefined;
    const bytes = await this.#file.read(array.offset, array.bytes);
    return new Int32Array(bytes.slice().buffer);
  }

  #array(key: string, elementTypes: readonly string[]): GgufArray | undefined {
    const item = this.values.get(key);
    if (item === undefined) return undefined;
    if (item.type === "array" && elementTypes.includes(item.elementType)) return item;
    return this.#wrongType(key, `array of ${elementTypes.join(" or ")}`, item);
  }

  #wrongType(key: string, expected: string, item: GgufValue): never {
    const found = item.type === "array" ? `array of ${item.elementType}` : item.type;
    throw new CheckpointError("metadata has another type", {
      where: `${this.#file.name}, ${key}`,
      expected,
      found,
    });
  }
}

/** Reads `count` key-value pairs from the cursor on. */
export async function readMetadata(cursor: GgufCursor, count: number): Promise<Map<string, GgufValue>> {
  const values = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = await readString(cursor, MAX_KEY, "a key");
    if (key === "") cursor.fail("a key is empty");
    if (values.has(key)) cursor.fail("a key comes twice", undefined, key);
    values.set(key, await readValue(cursor, key));
  }
  return values;
}

/** Reads a string: a length of 8 bytes, then UTF-8. */
export async function readString(cursor: GgufCursor, max: number, what: string): Promise<string> {
  await cursor.need(8, what);
  const length = cursor.size(max, `the length of ${what}`);
  await cursor.need(length, what);
  const where = `${cursor.file.name}, byte ${cursor.position}`;
  return decode(cursor.bytes(length), where);
}

async function readValue(cursor: GgufCursor, key: string): Promise<GgufValue> {
  await cursor.need(4, key);
  const type = readType(cursor, key);
  if (type === "string") return { type, value: await readString(cursor, MAX_STRING, key) };
  if (type === "array") return readArray(cursor, key);
  await cursor.need(ELEMENT_BYTES[type]!, key);
  switch (type) {
    case "f32":
    case "f64":
      return { type, value: cursor[type]() };
    case "bool":
      return { type, value: readBool(cursor.u8(), cursor, key) };
    case "u64":
    case "i64": {
      const value = cursor[type]();
      return { type, value: BigInt.asIntN(54, value) === value ? Number(value) : value };
    }
    default:
      return { type, value: cursor[type]() };
  }
}

function readType(cursor: GgufCursor, key: string): (typeof TYPES)[number] {
  const type = cursor.u32();
  return TYPES[type] ?? cursor.fail(`${key} has an unknown type`, "0 to 12", type);
}

function readBool(byte: number, cursor: GgufCursor, key: string): boolean {
  return byte > 1 ? cursor.fail(`${key} is not a boolean`, "0 or 1", byte) : byte === 1;
}

/** Passes over an array, looking at no more than the lengths of strings. */
async function readArray(cursor: GgufCursor, key: string): Promise<GgufArray> {
  await cursor.need(12, key);
  const elementType = readType(cursor, key);
  const count = cursor.size(MAX_ELEMENTS, `the length of ${key}`);
  if (elementType === "array") return cursor.fail(`${key} is an array of arrays, which nobody writes`);
  const offset = cursor.position;
  if (elementType === "string") {
    for (let i = 0; i < count; i++) {
      if (cursor.available < 8) await cursor.need(8, key);
      cursor.skip(cursor.size(MAX_STRING, `the length of ${key}[${i}]`), key);
    }
  } else if (elementType === "bool") {
    await cursor.need(count, key);
    for (const byte of cursor.bytes(count)) readBool(byte, cursor, key);
  } else cursor.skip(count * ELEMENT_BYTES[elementType]!, key);
  return { type: "array", elementType, count, offset, bytes: cursor.position - offset };
}

function decode(bytes: Uint8Array, where: string): string {
  try {
    return UTF8.decode(bytes);
  } catch (cause) {
    throw new CheckpointError("a string is not valid UTF-8", { where, cause });
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
