import type { RandomAccessFile } from "../../checkpoint/file.ts";
import type { HostTensor } from "../../engine/ops.ts";
import { CheckpointError } from "../../errors.ts";
import { decodeBfloat16, decodeFloat16 } from "../../numerics/float.ts";

/**
 * NumPy's array file (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): "\x93NUMPY", a version of two
 * bytes, the header's length (two bytes, from version 2 on four), a Python dictionary of `descr`, `fortran_order` and `shape`,
 * then the values. Pickled objects and records are refused.
 */
export async function readNpy(file: RandomAccessFile, where: string = file.name): Promise<HostTensor> {
  const fail = (what: string, expected: string | number, found: string | number): never => {
    throw new CheckpointError(what, { where, expected, found });
  };
  if (file.size < 10) fail("too short for an .npy file", "at least 10 bytes", file.size);
  const start = await file.read(0, Math.min(12, file.size));
  if (String.fromCharCode(...start.subarray(0, 6)) !== "\x93NUMPY")
    fail("not an .npy file", "\\x93NUMPY", hex(start));
  const major = start[6]!;
  if (major < 1 || major > 3) fail("unknown version of .npy", "1, 2 or 3", major);
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  const begin = major === 1 ? 10 : 12;
  const length = major === 1 || start.length < 12 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MAX_HEADER || begin + length > file.size)
    fail("the header is too long", `at most ${Math.min(MAX_HEADER, file.size - begin)} bytes`, length);
  const text = new TextDecoder("latin1").decode(await file.read(begin, length));
  const { descr, fortran, shape } = parseHeader(text, where);

  const format = FORMATS.get(descr.slice(1));
  if (!format || !/^[<>=|]/.test(descr))
    return fail("a trace holds no such type", "f2, f4, f8, V2 (bfloat16), integers or b1", descr);
  const count = shape.reduce((a, b) => a * b, 1);
  const bytes = count * format.bytes;
  if (begin + length + bytes !== file.size)
    fail(
      "the file's length doesn't fit its shape",
      `${begin + length + bytes} bytes for [${shape.join(", ")}]`,
      file.size,
    );
  const raw = await file.read(begin + length, bytes);
  if (descr.startsWith(">") && format.bytes > 1) swapBytes(raw, format.bytes);
  const data = format.decode(raw.buffer.slice(raw.byteOffset, raw.byteOffset + bytes) as ArrayBuffer);
  return { shape, data: fortran && shape.length > 1 ? fromColumnMajor(data, shape) : data };
}

const MAX_HEADER = 65_536;
const MAX_DIMENSIONS = 32;

interface Format {
  readonly bytes: number;
  decode(buffer: ArrayBuffer): HostTensor["data"];
}

const bfloat16: Format = { bytes: 2, decode: (b) => Float32Array.from(new Uint16Array(b), decodeBfloat16) };

/** Integers become int32: expert and token ids are all that a trace has. `u2` is how arrays of bfloat16 are mostly written. */
const FORMATS: ReadonlyMap<string, Format> = new Map<string, Format>([
  ["f2", { bytes: 2, decode: (b) => Float32Array.from(new Uint16Array(b), decodeFloat16) }],
  ["f4", { bytes: 4, decode: (b) => new Float32Array(b) }],
  ["f8", { bytes: 8, decode: (b) => new Float64Array(b) }],
  ["V2", bfloat16],
  ["u2", bfloat16],
  ["b1", { bytes: 1, decode: (b) => Int32Array.from(new Uint8Array(b)) }],
  ["u1", { bytes: 1, decode: (b) => Int32Array.from(new Uint8Array(b)) }],
  ["i1", { bytes: 1, decode: (b) => Int32Array.from(new Int8Array(b)) }],
  ["i2", { bytes: 2, decode: (b) => Int32Array.from(new Int16Array(b)) }],
  ["i4", { bytes: 4, decode: (b) => new Int32Array(b) }],
  ["u4", { bytes: 4, decode: (b) => Int32Array.from(new Uint32Array(b)) }],
  ["i8", { bytes: 8, decode: (b) => Int32Array.from(new BigInt64Array(b), Number) }],
  ["u8", { bytes: 8, decode: (b) => Int32Array.from(new BigUint64Array(b), Number) }],
]);

/** The dictionary as numpy writes it, entries in any order; anything else is refused. */
function parseHeader(text: string, where: string): { descr: string; fortran: boolean; shape: number[] } {
  const entry =
    /\s*'(descr|fortran_order|shape)'\s*:\s*(?:'([^'\\]{2,16})'|(True|False)|\(([\d\s,]*)\))\s*(?:,|(?=\}))/y;
  const found = new Map<string, RegExpExecArray>();
  const open = /^\s*\{/.exec(text);
  let at = open ? open[0].length : 0;
  for (;;) {
    entry.lastIndex = at;
    const match = entry.exec(text);
    if (!match) break;
    found.set(match[1]!, match);
    at = entry.lastIndex;
  }
  const descr = found.get("descr")?.[2];
  const order = found.get("fortran_order")?.[3];
  const sizes = found.get("shape")?.[4];
  const complete = open && found.size === 3 && /^\s*\}\s*$/.test(text.slice(at));
  if (!complete || descr === undefined || order === undefined || sizes === undefined) {
    throw new CheckpointError("can't read the .npy header", {
      where,
      expected: "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }",
      found: text.trim(),
      hint: "Records and pickled objects are not read.",
    });
  }
  const shape = sizes.split(",").map((size) => size.trim()).filter((size) => size !== "").map(Number); // biome-ignore format: one thought
  if (shape.length > MAX_DIMENSIONS || !shape.every(Number.isSafeInteger))
    throw new CheckpointError("an impossible shape", { where, found: sizes });
  return { descr, fortran: order === "True", shape };
}

function swapBytes(bytes: Uint8Array, width: number): void {
  for (let i = 0; i < bytes.length; i += width) bytes.subarray(i, i + width).reverse();
}

/** Column-major (Fortran's) order to row-major. */
function fromColumnMajor(data: HostTensor["data"], shape: readonly number[]): HostTensor["data"] {
  const reversed = [...shape].reverse();
  return transpose({ shape: reversed, data }, [...shape.keys()].reverse()).data;
}

/** Axes in another order, as numpy.transpose: axis i of the result is axis `order[i]` of the tensor. */
export function transpose({ shape, data }: HostTensor, order: readonly number[]): HostTensor {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const newShape = order.map((axis) => shape[axis]!);
  const newStrides = order.map((axis) => strides[axis]!);
  const result = data.slice();
  const at = new Array<number>(newShape.length).fill(0);
  let from = 0;
  for (let i = 0; i < result.length; i++) {
    result[i] = data[from]!;
    for (let axis = newShape.length - 1; axis >= 0; axis--) {
      from += newStrides[axis]!;
      if (++at[axis]! < newShape[axis]!) break;
      from -= newStrides[axis]! * newShape[axis]!;
      at[axis] = 0;
    }
  }
  return { shape: newShape, data: result };
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, 8), (b) => b.toString(16).padStart(2, "0")).join(" ");
}
