/** Pieces of GGUF files, right and wrong ones. */

export function join(...pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

export function u32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

export function u64(value: number | bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt(value)).buffer);
}

export function f32(value: number): Uint8Array {
  return new Uint8Array(Float32Array.of(value).buffer);
}

export function text(value: string, length?: number | bigint): Uint8Array {
  const bytes = new TextEncoder().encode(value);
  return join(u64(length ?? bytes.length), bytes);
}

type TypeName =
  | "u8"
  | "i8"
  | "u16"
  | "i16"
  | "u32"
  | "i32"
  | "f32"
  | "bool"
  | "string"
  | "array"
  | "u64"
  | "i64"
  | "f64";

/** Numbers of the value types. */
export const TYPE: Readonly<Record<TypeName, number>> = {
  ...{
    u8: 0,
    i8: 1,
    u16: 2,
    i16: 3,
    u32: 4,
    i32: 5,
    f32: 6,
    bool: 7,
    string: 8,
    array: 9,
    u64: 10,
    i64: 11,
    f64: 12,
  },
};

/** A metadata pair: key, type, value. */
export function pair(key: string, type: number, value: Uint8Array): Uint8Array {
  return join(text(key), u32(type), value);
}

export function array(elementType: number, count: number | bigint, elements: Uint8Array): Uint8Array {
  return join(u32(elementType), u64(count), elements);
}

/** A tensor's entry; dimensions as in the file, the contiguous one first. */
export function info(
  name: string,
  dimensions: readonly (number | bigint)[],
  type: number,
  offset: number | bigint,
): Uint8Array {
  return join(text(name), u32(dimensions.length), ...dimensions.map(u64), u32(type), u64(offset));
}

export interface GgufParts {
  readonly magic?: string;
  readonly version?: number;
  readonly tensorCount?: number | bigint;
  readonly pairCount?: number | bigint;
  readonly pairs?: readonly Uint8Array[];
  readonly infos?: readonly Uint8Array[];
  readonly alignment?: number;
  readonly dataBytes?: number;
}

/** A file of these parts, whose counts are right unless given. */
export function gguf(parts: GgufParts): Uint8Array {
  const { magic = "GGUF", version = 3, pairs = [], infos = [], alignment = 32, dataBytes = 0 } = parts;
  const head = join(
    new TextEncoder().encode(magic),
    u32(version),
    u64(parts.tensorCount ?? infos.length),
    u64(parts.pairCount ?? pairs.length),
    ...pairs,
    ...infos,
  );
  const padding = (alignment - (head.length % alignment)) % alignment;
  return join(head, new Uint8Array(padding + dataBytes));
}
