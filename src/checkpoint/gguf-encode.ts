import { GGML_TYPES } from "./gguf.ts";

/** A metadata pair to be written. */
export type GgufPair = readonly [key: string, ...value: PairValue];
type PairValue =
  | readonly ["u32" | "f32", number]
  | readonly ["bool", boolean]
  | readonly ["string", string]
  | readonly ["strings", readonly string[]]
  | readonly ["i32s", ArrayLike<number>];

/** What the header says of a tensor. */
export interface GgufEntry {
  readonly name: string;
  readonly dtype: string;
  /** Row-major, outermost dimension first. */
  readonly shape: readonly number[];
  readonly bytes: number;
}

const ALIGNMENT = 32;

/** Everything ahead of the tensors' bytes; they follow in the order of the list, each {@link padded}. */
export function encodeGgufHeader(pairs: readonly GgufPair[], tensors: readonly GgufEntry[]): Uint8Array {
  const out = new GgufEncoder();
  out.u32(0x46554747).u32(3).u64(tensors.length);
  out.u64(pairs.length);
  for (const [key, ...value] of pairs) out.pair(key, value);
  let offset = 0;
  for (const { name, shape, dtype, bytes } of tensors) {
    out.string(name).u32(shape.length);
    for (const size of shape.toReversed()) out.u64(size);
    out.u32(TYPE_NUMBERS.get(dtype)!).u64(offset);
    offset += padded(bytes);
  }
  return out.finish(ALIGNMENT);
}

/** Bytes of a tensor with the zeros that follow it. */
export function padded(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

const TYPE_NUMBERS: ReadonlyMap<string, number> = new Map(
  Array.from(GGML_TYPES, ([number, [name]]) => [name, number]),
);

/** Appends little-endian values to a buffer that grows. */
class GgufEncoder {
  #bytes: Uint8Array = new Uint8Array(1 << 16);
  #view: DataView = new DataView(this.#bytes.buffer);
  #at = 0;

  u8(value: number): this {
    const at = this.#grow(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u32(value: number): this {
    const at = this.#grow(4); // may replace the view
    this.#view.setUint32(at, value, true);
    return this;
  }

  u64(value: number): this {
    const at = this.#grow(8);
    this.#view.setBigUint64(at, BigInt(value), true);
    return this;
  }

  f32(value: number): this {
    const at = this.#grow(4);
    this.#view.setFloat32(at, value, true);
    return this;
  }

  string(text: string): this {
    const bytes = UTF8.encode(text);
    this.u64(bytes.length);
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }

  pair(key: string, [type, value]: PairValue): void {
    this.string(key);
    switch (type) {
      case "u32":
        this.u32(4).u32(value);
        break;
      case "f32":
        this.u32(6).f32(value);
        break;
      case "bool":
        this.u32(7).u8(Number(value));
        break;
      case "string":
        this.u32(8).string(value);
        break;
      case "strings":
        this.u32(9).u32(8).u64(value.length);
        for (const text of value) this.string(text);
        break;
      case "i32s":
        this.u32(9).u32(5).u64(value.length);
        for (let i = 0; i < value.length; i++) this.u32(value[i]!);
        break;
    }
  }

  finish(alignment: number): Uint8Array {
    return this.#bytes.slice(0, Math.ceil(this.#at / alignment) * alignment);
  }

  #grow(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at + ALIGNMENT > this.#bytes.length) {
      const larger = new Uint8Array(2 * (this.#at + ALIGNMENT));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }
}

const UTF8 = new TextEncoder();
