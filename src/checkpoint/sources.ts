import { CheckpointError } from "../errors.ts";
import { checkScales, fromGgufBlocks, GGUF_MXFP4_BLOCK } from "./mxfp4-blocks.ts";
import type { StoredTensor, TensorTable } from "./tensors.ts";
import type { EncodedRows, Encoding, StoredRange, StoredRows, WeightSource } from "./weights.ts";

/**
 * Weights as file ranges: each source turns the bytes of one file format into the one form of `weights.ts`,
 * for the rows that are asked for.
 */

/** Encodings whose bytes are the same in every container. */
const PLAIN: ReadonlyMap<string, Encoding> = new Map([
  ["F32", "f32"],
  ["F16", "f16"],
  ["BF16", "bf16"],
  ["Q8_0", "q8_0"],
]);

/** Bytes of `cols` values in a row. */
export function rowBytes(encoding: Encoding, cols: number): number {
  switch (encoding) {
    case "f32":
      return cols * 4;
    case "f16":
    case "bf16":
      return cols * 2;
    case "q8_0":
      return (cols / 32) * 34;
    case "mxfp4":
      return (cols / 32) * 16;
  }
}

/**
 * A tensor [matrices, rows, cols] (or fewer dimensions, see {@link as3d}) whose rows lie one after the other.
 *
 * @param part rows of each matrix that make up this weight, where a tensor holds several; default all
 */
export function plainSource(tensor: StoredTensor, part?: { first: number; rows: number }): WeightSource {
  const [matrices, allRows, cols] = as3d(tensor.shape);
  const { first: offset, rows } = part ?? { first: 0, rows: allRows };
  const encoding = PLAIN.get(tensor.dtype)!;
  const stride = rowBytes(encoding, cols);
  const data = {
    file: tensor.file,
    offset: tensor.offset + offset * stride,
    matrixBytes: allRows * stride,
    rowBytes: stride,
  };
  const form = { name: tensor.name, encoding, matrices, rows, cols };
  const stored: StoredRows = { form: "encoded", parts: [{ data }] };
  return source({ ...form, stored }, async (matrix, first, count) => ({
    data: await readRange(data, matrix, first, count),
  }));
}

/** Bytes of rows [first, first + count). */
function readRange(range: StoredRange, matrix: number, first: number, count: number): Promise<Uint8Array> {
  return range.file.read(
    range.offset + matrix * range.matrixBytes + first * range.rowBytes,
    count * range.rowBytes,
  );
}

/** Elements [first, first + length) of a vector. */
export function sliceSource(tensor: StoredTensor, first: number, length: number): WeightSource {
  const encoding = PLAIN.get(tensor.dtype)!;
  const size = rowBytes(encoding, 1);
  const form = { name: tensor.name, encoding, matrices: 1, rows: 1, cols: length };
  return source(form, async (_matrix, row, count) => ({
    data: await tensor.file.read(tensor.offset + (first + row * length) * size, count * length * size),
  }));
}

/** OpenAI's MXFP4 of a stack [matrices, rows, cols]: U8 blocks [matrices, rows, cols / 32, 16], scales without the 16. */
export function mxfp4Source(
  tensors: TensorTable,
  names: { blocks: string; scales: string },
  [matrices, rows, cols]: [number, number, number],
): WeightSource {
  const groups = blocksInRow(cols, names.blocks);
  const blocks = tensors.take(names.blocks, [matrices, rows, groups, 16], ["U8"]);
  const scales = tensors.take(names.scales, [matrices, rows, groups], ["U8"]);
  const range = (tensor: StoredTensor, stride: number): StoredRange => {
    return { file: tensor.file, offset: tensor.offset, matrixBytes: rows * stride, rowBytes: stride };
  };
  const part = { data: range(blocks, groups * 16), scales: range(scales, groups) };
  return source(
    {
      name: blocks.name,
      encoding: "mxfp4",
      matrices,
      rows,
      cols,
      stored: { form: "encoded", parts: [part] },
    },
    async (matrix, first, count) => {
      const [data, scaleBytes] = await Promise.all([
        readRange(part.data, matrix, first, count),
        readRange(part.scales, matrix, first, count),
      ]);
      checkScales(scaleBytes, groups, first, { name: scales.name, file: scales.file.name, matrix });
      return { data, scales: scaleBytes };
    },
  );
}

/** Number of blocks of 32 values in a row of MXFP4 or Q8_0. */
export function blocksInRow(cols: number, tensor: string): number {
  if (cols % 32 === 0) return cols / 32;
  throw new CheckpointError("rows of this type come in blocks of 32", {
    where: tensor,
    expected: "a multiple of 32",
    found: cols,
  });
}

/** ggml's MXFP4: blocks of 17 bytes, the scale first. */
export function ggufMxfp4Source(tensor: StoredTensor): WeightSource {
  const [matrices, rows, cols] = as3d(tensor.shape);
  const groups = cols / 32;
  const stride = groups * GGUF_MXFP4_BLOCK;
  const range = { file: tensor.file, offset: tensor.offset, matrixBytes: rows * stride, rowBytes: stride };
  const stored: StoredRows = { form: "ggml-mxfp4", parts: [{ data: range }] };
  return source(
    { name: tensor.name, encoding: "mxfp4", matrices, rows, cols, stored },
    async (matrix, first, count) => {
      const packed = await readRange(range, matrix, first, count);
      const { data, scales } = fromGgufBlocks(packed);
      checkScales(scales, groups, first, { name: tensor.name, file: tensor.file.name, matrix });
      return { data, scales };
    },
  );
}

/** Row 2i is row i of `even`, row 2i + 1 is row i of `odd`. */
export function interleavedRows(even: WeightSource, odd: WeightSource): WeightSource {
  sameForm(even, odd);
  const { name, encoding, matrices, cols } = even;
  const stride = rowBytes(encoding, cols);
  const [a, b] = [even.stored, odd.stored];
  const together: StoredRows | undefined =
    a && b && a.form === b.form ? { form: a.form, parts: [a.parts[0], b.parts[0]] } : undefined;
  const form = { name, encoding, matrices, rows: 2 * even.rows, cols, ...(together && { stored: together }) };
  return source(form, async (matrix, first, count) => {
    const firstEven = Math.ceil(first / 2);
    const firstOdd = first >> 1;
    const end = first + count;
    const [a, b] = await Promise.all([
      even.readRows(matrix, firstEven, Math.ceil(end / 2) - firstEven),
      odd.readRows(matrix, firstOdd, (end >> 1) - firstOdd),
    ]);
    const [x, y] = first % 2 === 0 ? [a, b] : [b, a];
    const data = alternate(x.data, y.data, stride);
    return x.scales && y.scales ? { data, scales: alternate(x.scales, y.scales, cols / 32) } : { data };
  });
}

/** Column 2i is column i of `even`, column 2i + 1 is column i of `odd`; for encodings without blocks. */
export function interleavedColumns(even: WeightSource, odd: WeightSource): WeightSource {
  sameForm(even, odd);
  const { name, encoding, matrices, rows, cols } = even;
  return source({ name, encoding, matrices, rows, cols: 2 * cols }, async (matrix, first, count) => {
    const [a, b] = await Promise.all([
      even.readRows(matrix, first, count),
      odd.readRows(matrix, first, count),
    ]);
    return { data: alternate(a.data, b.data, rowBytes(encoding, 1)) };
  });
}

/** Puts pieces of `size` bytes of x and y alternately. x may have one piece more. */
function alternate(x: Uint8Array, y: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(x.length + y.length);
  for (let from = 0, to = 0; from < x.length; from += size, to += 2 * size) {
    out.set(x.subarray(from, from + size), to);
    out.set(y.subarray(from, from + size), to + size);
  }
  return out;
}

function sameForm(a: WeightSource, b: WeightSource): void {
  if (a.encoding === b.encoding) return;
  throw new CheckpointError("gate and up projections are stored in different types", {
    where: `${a.name} and ${b.name}`,
    expected: a.encoding,
    found: b.encoding,
  });
}

/** [matrices, rows, cols] of a shape of at most three dimensions. */
export function as3d(shape: readonly number[]): [number, number, number] {
  return [1, 1, 1, ...shape].slice(-3) as [number, number, number];
}

/** Adds to a reader what all sources have in common: the check of the range, and the frame of the result. */
export function source(
  form: Omit<WeightSource, "readRows">,
  read: (
    matrix: number,
    first: number,
    count: number,
  ) => Promise<Pick<EncodedRows, "data" | "scales">> | Promise<EncodedRows>,
): WeightSource {
  return {
    ...form,
    async readRows(matrix, first, count) {
      const inside =
        matrix >= 0 && matrix < form.matrices && first >= 0 && count >= 0 && first + count <= form.rows;
      if (!inside) {
        throw new RangeError(
          `${form.name} is [${form.matrices}, ${form.rows}, ${form.cols}]: no rows ${first} to ${first + count} of matrix ${matrix}`,
        );
      }
      const { data, scales } = await read(matrix, first, count);
      const rows = { encoding: form.encoding, rows: count, cols: form.cols, data };
      return scales === undefined ? rows : { ...rows, scales };
    },
  };
}
