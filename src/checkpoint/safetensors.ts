import { CheckpointError } from "../errors.ts";
import type { RandomAccessFile } from "./file.ts";
import { JsonReader } from "./json.ts";
import type { StoredTensor, TensorMap } from "./tensors.ts";

/**
 * safetensors (https://github.com/huggingface/safetensors#format): eight bytes N, N bytes of JSON, then the tensors'
 * bytes, little endian, row-major. The JSON says of each tensor {"dtype", "shape", "data_offsets": [begin, end)}, and
 * the tensors must cover the rest of the file exactly, in any order. As strict as the reference implementation, and
 * about keys that come twice or that nobody knows stricter.
 */
export interface Safetensors {
  readonly tensors: TensorMap;
  readonly metadata: ReadonlyMap<string, string>;
}

/** The reference implementation's limit on the header. */
export const MAX_HEADER = 100_000_000;

/** Far more than any model has; each takes room in memory. */
const MAX_TENSORS = 2 ** 17;
const MAX_DIMENSIONS = 32;

const BITS: ReadonlyMap<string, number> = new Map([
  ...["F4"].map((dtype) => [dtype, 4] as const),
  ...["F6_E2M3", "F6_E3M2"].map((dtype) => [dtype, 6] as const),
  ...["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"].map(
    (dtype) => [dtype, 8] as const,
  ),
  ...["I16", "U16", "F16", "BF16"].map((dtype) => [dtype, 16] as const),
  ...["I32", "U32", "F32"].map((dtype) => [dtype, 32] as const),
  ...["C64", "F64", "I64", "U64"].map((dtype) => [dtype, 64] as const),
]);

/** Reads and checks the header; the tensors' bytes stay where they are. */
export async function readSafetensors(file: RandomAccessFile): Promise<Safetensors> {
  const fail = (what: string, expected: string | number, found: string | number | bigint): never => {
    const hint = "The file may be damaged, or its download incomplete.";
    throw new CheckpointError(what, { where: file.name, expected, found, hint });
  };
  if (file.size < 8) fail("too short for a safetensors file", "at least 8 bytes", file.size);
  const prefix = await file.read(0, 8);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > MAX_HEADER) fail("the header is too long", `at most ${MAX_HEADER} bytes`, length);
  const start = 8 + Number(length);
  if (start > file.size) fail("the header is longer than the file", `at most ${file.size - 8} bytes`, length);
  const header = await file.read(8, Number(length));
  if (header[0] !== 0x7b) fail('the header doesn\'t start with "{"', 0x7b, header[0] ?? "nothing");

  const tensors = new Map<string, StoredTensor>();
  const metadata = new Map<string, string>();
  const json = new JsonReader(header, file.name, 8);
  json.object((name) => {
    if (name === "__metadata__") {
      json.object((key) => metadata.set(key, json.string()));
    } else {
      if (tensors.size >= MAX_TENSORS) json.fail("too many tensors", `at most ${MAX_TENSORS}`);
      tensors.set(name, readTensor(json, name, file, start));
    }
  });
  json.end();
  checkTiling(tensors, file, start);
  return { tensors, metadata };
}

function readTensor(json: JsonReader, name: string, file: RandomAccessFile, start: number): StoredTensor {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  const where = `${file.name}, ${name}`;
  json.object((key) => {
    if (key === "dtype") dtype = json.string();
    else if (key === "shape") {
      const sizes: number[] = [];
      json.array(MAX_DIMENSIONS, () => sizes.push(json.size()));
      shape = sizes;
    } else if (key === "data_offsets") {
      const pair: number[] = [];
      json.array(2, () => pair.push(json.size()));
      offsets = pair;
    } else json.fail("unknown key in a tensor's entry", "dtype, shape or data_offsets", `"${key}"`);
  });
  if (dtype === undefined || shape === undefined || offsets?.length !== 2) {
    throw new CheckpointError("a tensor's entry is incomplete", {
      where,
      expected: "dtype, shape and data_offsets [begin, end]",
    });
  }
  const [begin, end] = offsets as [number, number];
  if (end < begin || start + end > file.size) {
    throw new CheckpointError("a tensor lies outside of the file", {
      where,
      expected: `0 ≤ begin ≤ end ≤ ${file.size - start}`,
      found: `[${begin}, ${end}]`,
      hint: "The download may be incomplete.",
    });
  }
  const bits = BITS.get(dtype);
  if (bits === undefined) {
    throw new CheckpointError("a tensor has an unknown type", {
      where,
      expected: [...BITS.keys()].join(", "),
      found: dtype,
    });
  }
  // exact: a product beyond 2^53 only gets larger, and no length of a file equals it
  const size = shape.includes(0) ? 0 : (shape.reduce((a, b) => a * b, 1) * bits) / 8;
  if (size !== end - begin) {
    throw new CheckpointError("a tensor's length doesn't fit its shape", {
      where,
      expected: `${size} bytes for ${dtype} [${shape.join(", ")}]`,
      found: end - begin,
    });
  }
  return { name, dtype, shape, file, offset: start + begin, bytes: size };
}

/** Tensors must cover [start, size) without holes and overlaps, or else bytes could hide in the file. */
function checkTiling(tensors: TensorMap, file: RandomAccessFile, start: number): void {
  const inOrder = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let end = start;
  for (const { name, offset, bytes } of inOrder) {
    if (offset !== end) {
      throw new CheckpointError(offset < end ? "tensors overlap" : "there is a hole between tensors", {
        where: `${file.name}, ${name}`,
        expected: `begin at ${end - start}`,
        found: offset - start,
      });
    }
    end = offset + bytes;
  }
  if (end !== file.size) {
    throw new CheckpointError("the tensors don't end where the file does", {
      where: file.name,
      expected: `${end} bytes`,
      found: file.size,
    });
  }
}

/** What a writer puts ahead of the tensors' bytes, which follow in the order of the list. */
export function encodeSafetensorsHeader(
  tensors: readonly { name: string; dtype: string; shape: readonly number[]; bytes: number }[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const entries: [string, unknown][] = metadata === undefined ? [] : [["__metadata__", metadata]];
  let offset = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    entries.push([name, { dtype, shape, data_offsets: [offset, offset + bytes] }]);
    offset += bytes;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  // spaces up to a multiple of 8, so that a memory map of the file is aligned
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return header;
}
