/** Matrices in arenas, in the kernels' order (`assembly/repack.ts`). */
import { readInto } from "../../checkpoint/file.ts";
import { rowBytes } from "../../checkpoint/sources.ts";
import type { Encoding, StoredRange, WeightSource } from "../../checkpoint/weights.ts";
import { CheckpointError, EngineError } from "../../errors.ts";
import type { Weight } from "../ops.ts";
import { dequantize } from "../reference/dequantize.ts";
import type { Arena, Arenas, Piece } from "./arena.ts";
import { callJob } from "./jobs.ts";
import type { KernelName } from "./kernels.ts";
import type { Pool } from "./pool.ts";

/** Bytes of a file that are read and brought into order at a time. */
const CHUNK_BYTES = 4 * 2 ** 20;
/** How many chunks are on their way while one is repacked. */
const READ_AHEAD = 3;

/** What a kernel takes: float16 weights become float32, which holds them exactly. */
export type KernelEncoding = Exclude<Encoding, "f16">;

/** One matrix in place: `at` is where its weights begin, `scales` where its scales do. */
export interface Placed extends Piece {
  readonly scales: number;
}

/** How a matrix of some encoding lies in memory. */
export class Layout {
  readonly encoding: KernelEncoding;
  readonly rows: number;
  readonly cols: number;
  /** Whether the kernels take quantised activations. */
  readonly quantised: boolean;
  readonly groupRows: number;
  readonly groups: number;
  /** Bytes of a group's weights, and of its scales. */
  readonly groupBytes: number;
  readonly scaleBytes: number;

  constructor(encoding: Encoding, rows: number, cols: number) {
    this.encoding = encoding === "f16" ? "f32" : encoding;
    this.rows = rows;
    this.cols = cols;
    this.quantised = encoding === "mxfp4" || encoding === "q8_0";
    this.groupRows = this.quantised ? 8 : 16;
    this.groups = Math.ceil(rows / this.groupRows);
    const blocks = cols / 32;
    const sizes: Record<KernelEncoding, [number, number]> = {
      mxfp4: [blocks * 128, blocks * 8],
      q8_0: [blocks * 256, blocks * 16],
      bf16: [cols * 32, 0],
      f32: [cols * 64, 0],
    };
    [this.groupBytes, this.scaleBytes] = sizes[this.encoding];
  }

  /** Bytes of a matrix; scales come after all weights, from a multiple of 64 on. */
  get bytes(): number {
    return this.scalesAt + this.groups * this.scaleBytes;
  }

  get scalesAt(): number {
    return Math.ceil((this.groups * this.groupBytes) / 64) * 64;
  }
}

/** A weight matrix, or a stack of them of which each expert's may be in memory or not. */
export interface SimdMatrix extends Weight {
  readonly layout: Layout;
  readonly source: WeightSource;
  readonly placed: (Placed | undefined)[];
}

/** Which matrix of a source goes where. */
export interface Placement {
  readonly matrix: number;
  readonly placed: Placed;
}

/**
 * Reads matrices of a source into their places and brings them into the kernels' order, chunk by chunk: while some are
 * read, the one before is repacked by all threads.
 *
 * @param onBytes told of each chunk's bytes once it is in place
 */
export async function loadMatrices(
  source: WeightSource,
  layout: Layout,
  placements: readonly Placement[],
  pool: Pool,
  onBytes: (bytes: number) => void = () => {},
): Promise<void> {
  const queue: Promise<Chunk>[] = [];
  const repackNext = async (): Promise<void> => {
    const chunk = await queue.shift()!;
    const { arena } = chunk.placed;
    if (chunk.quantize) {
      const rowBytes = (layout.cols / 32) * 34;
      const bytes = chunk.groups * layout.groupRows * rowBytes;
      const at = stage(arena, bytes);
      quantize(chunk.quantize, arena, chunk.staging, at, bytes / 34, pool);
      repack({ ...chunk, data: { even: at, odd: at + rowBytes, step: 2 * rowBytes } }, layout, pool);
      arena.free(at, bytes);
    } else repack(chunk, layout, pool);
    arena.free(chunk.staging, chunk.stagingBytes);
    onBytes(chunk.stagingBytes);
  };
  try {
    for (const { matrix, placed } of placements) {
      const groupsAtATime = Math.max(1, Math.floor(CHUNK_BYTES / layout.groupBytes));
      for (let group = 0; group < layout.groups; group += groupsAtATime) {
        const groups = Math.min(groupsAtATime, layout.groups - group);
        const chunk = readChunk(source, matrix, layout, placed, group, groups);
        chunk.catch(() => {}); // an error shows at the await, if its turn comes
        queue.push(chunk);
        if (queue.length > READ_AHEAD) await repackNext();
      }
    }
    while (queue.length > 0) await repackNext();
  } catch (error) {
    for (const chunk of await Promise.allSettled(queue)) {
      if (chunk.status === "fulfilled")
        chunk.value.placed.arena.free(chunk.value.staging, chunk.value.stagingBytes);
    }
    throw error;
  }
  for (const { matrix, placed } of placements) checkScales(placed, layout, source.name, matrix);
}

/** Rows of a matrix in a staging area beside its place. Row 2i lies at even + i · step, row 2i + 1 at odd + i · step. */
interface Chunk {
  readonly placed: Placed;
  readonly group: number;
  readonly groups: number;
  readonly ggml: boolean;
  /** The kernel that makes Q8_0 of these rows first, if they have another encoding. */
  readonly quantize?: KernelName;
  readonly staging: number;
  readonly stagingBytes: number;
  readonly data: Rows;
  readonly scales: Rows | undefined;
}

interface Rows {
  readonly even: number;
  readonly odd: number;
  readonly step: number;
}

async function readChunk(
  source: WeightSource,
  matrix: number,
  layout: Layout,
  placed: Placed,
  group: number,
  groups: number,
): Promise<Chunk> {
  const first = group * layout.groupRows;
  const padded = groups * layout.groupRows;
  const count = Math.min(padded, layout.rows - first);
  const { arena } = placed;
  const common = { placed, group, groups };

  const { stored, encoding } = source.quantizedFrom ?? source;
  // a plain memory that grows takes its old buffer away from whoever reads into it
  const movable = arena.buffer instanceof ArrayBuffer;
  if (stored === undefined || encoding === "f16" || movable) {
    const rows = await source.readRows(matrix, first, count);
    const data = rows.encoding === "f16" ? new Uint8Array(dequantize(rows).buffer) : rows.data;
    const rowBytes = data.length / count;
    const scaleBytes = (rows.scales?.length ?? 0) / count;
    const stagingBytes = padded * (rowBytes + scaleBytes);
    const staging = stage(arena, stagingBytes);
    const scales = staging + padded * rowBytes;
    const bytes = new Uint8Array(arena.buffer);
    bytes.fill(0, staging, staging + stagingBytes); // for rows that complete the last group
    bytes.set(data, staging);
    if (rows.scales) bytes.set(rows.scales, scales);
    return {
      ...common,
      ggml: false,
      staging,
      stagingBytes,
      data: { even: staging, odd: staging + rowBytes, step: 2 * rowBytes },
      scales: rows.scales && { even: scales, odd: scales + scaleBytes, step: 2 * scaleBytes },
    };
  }

  const { parts, form } = stored;
  const rowsOfPart = padded / parts.length;
  const bytesOf = (range: StoredRange | undefined): number => (range?.rowBytes ?? 0) * rowsOfPart;
  const stagingBytes = parts.reduce((sum, { data, scales }) => sum + bytesOf(data) + bytesOf(scales), 0);
  const staging = stage(arena, stagingBytes);
  if (count < padded) new Uint8Array(arena.buffer, staging, stagingBytes).fill(0);
  const reads: Promise<void>[] = [];
  let at = staging;
  const place = (range: StoredRange): number => {
    const from = range.offset + matrix * range.matrixBytes + (first / parts.length) * range.rowBytes;
    const target = new Uint8Array(arena.buffer, at, (count / parts.length) * range.rowBytes);
    reads.push(readInto(range.file, from, target));
    at += bytesOf(range);
    return at - bytesOf(range);
  };
  const rowsAt = (ranges: readonly (StoredRange | undefined)[]): Rows | undefined => {
    const [a, b] = ranges;
    if (a === undefined) return undefined;
    const even = place(a);
    return b === undefined
      ? { even, odd: even + a.rowBytes, step: 2 * a.rowBytes }
      : { even, odd: place(b), step: a.rowBytes };
  };
  const data = rowsAt(parts.map((part) => part.data))!;
  const scales = rowsAt(parts.map((part) => part.scales));
  const failed = (await Promise.allSettled(reads)).find((read) => read.status === "rejected");
  if (failed) {
    arena.free(staging, stagingBytes);
    throw failed.reason;
  }
  return {
    ...common,
    ggml: form === "ggml-mxfp4",
    ...(source.quantizedFrom && { quantize: quantizer(encoding) }),
    staging,
    stagingBytes,
    data,
    scales,
  };
}

function stage(arena: Arena, bytes: number): number {
  const at = arena.tryAllocate(bytes);
  if (at === undefined)
    throw new EngineError("no room to repack weights", { expected: `${bytes} more bytes` });
  return at;
}

function quantizer(encoding: Encoding): KernelName {
  return encoding === "bf16" ? "quantize_q8_0_bf16" : "quantize_q8_0_f32";
}

/** Makes Q8_0 of values that lie one after the other, in ggml's blocks. */
function quantize(
  kernel: KernelName,
  arena: Arena,
  from: number,
  to: number,
  blocks: number,
  pool: Pool,
): void {
  const size = kernel === "quantize_q8_0_bf16" ? 64 : 128;
  const share = Math.ceil(blocks / pool.threads);
  const jobs: number[][] = [];
  for (let b = 0; b < blocks; b += share) {
    jobs.push(callJob(arena.id, kernel, from + b * size, Math.min(share, blocks - b), to + b * 34));
  }
  pool.run(jobs);
}

/** Reads a matrix of which only single rows are wanted, in the order that its encoding has. */
export async function loadTable(
  source: WeightSource,
  arenas: Arenas,
  pool: Pool,
  onBytes: (bytes: number) => void = () => {},
): Promise<Placed> {
  const { rows, cols } = source;
  const blocks = cols / 32;
  const mxfp4 = source.encoding === "mxfp4";
  const rowBytesOut = rowBytes(source.encoding, cols);
  const piece = await arenas.allocate(rows * (rowBytesOut + (mxfp4 ? blocks : 0)));
  const { arena, at } = piece;
  const scales = at + rows * rowBytesOut;
  const { stored, encoding } = source.quantizedFrom ?? source;
  const [range] =
    stored?.form === "encoded" && !mxfp4 && !(arena.buffer instanceof ArrayBuffer)
      ? [stored.parts[0].data]
      : [];
  const kernel = source.quantizedFrom && encoding !== "f16" ? quantizer(encoding) : undefined;
  const step = Math.max(1, Math.floor(CHUNK_BYTES / rowBytesOut));
  const reads: Promise<void>[] = [];
  for (let row = 0; row < rows; row += step) {
    const count = Math.min(step, rows - row);
    if (range && kernel) {
      const staging = stage(arena, count * range.rowBytes);
      const target = new Uint8Array(arena.buffer, staging, count * range.rowBytes);
      await readInto(range.file, range.offset + row * range.rowBytes, target);
      quantize(kernel, arena, staging, at + row * rowBytesOut, count * blocks, pool);
      arena.free(staging, count * range.rowBytes);
      onBytes(target.length);
    } else if (range && !source.quantizedFrom) {
      const target = new Uint8Array(arena.buffer, at + row * range.rowBytes, count * range.rowBytes);
      const read = readInto(range.file, range.offset + row * range.rowBytes, target);
      reads.push(read.then(() => onBytes(target.length)));
    } else {
      const read = await source.readRows(0, row, count);
      const bytes = new Uint8Array(arena.buffer);
      bytes.set(read.data, at + row * rowBytesOut);
      if (read.scales) bytes.set(read.scales, scales + row * blocks);
      onBytes(read.data.length + (read.scales?.length ?? 0));
    }
  }
  await Promise.all(reads);
  if (kernel) checkTable(source, piece, rowBytesOut);
  return { ...piece, scales };
}

/** As {@link checkScales}, of rows in ggml's blocks. */
function checkTable({ name, rows }: WeightSource, { arena, at }: Piece, rowBytes: number): void {
  const bytes = new Uint8Array(arena.buffer, at, rows * rowBytes);
  for (let i = 1; i < bytes.length; i += 34) {
    if ((bytes[i]! & 0x7c) === 0x7c)
      notFinite(name, 0, Math.floor(i / rowBytes), Math.floor((i % rowBytes) / 34));
  }
}

function notFinite(name: string, matrix: number, row: number, block: number): never {
  throw new CheckpointError("a Q8_0 scale is not a finite number", {
    where: `${name}, matrix ${matrix}, row ${row}, block ${block}`,
    hint: "The file is damaged.",
  });
}

function repack({ placed, group, groups, ggml, data, scales }: Chunk, layout: Layout, pool: Pool): void {
  const { groupRows, cols, encoding } = layout;
  const inner = layout.quantised ? cols / 32 : cols;
  const share = Math.ceil(groups / pool.threads);
  const jobs: number[][] = [];
  for (let g = 0; g < groups; g += share) {
    const count = Math.min(share, groups - g);
    const rowsFrom = ({ even, odd, step }: Rows): [number, number, number] => {
      const skip = ((g * groupRows) / 2) * step;
      return [even + skip, odd + skip, step];
    };
    const from = rowsFrom(data);
    const to = placed.at + (group + g) * layout.groupBytes;
    const toScales = placed.scales + (group + g) * layout.scaleBytes;
    const job = (kernel: KernelName, ...args: number[]): number[] =>
      callJob(placed.arena.id, kernel, ...args);
    if (encoding === "mxfp4" && !ggml) {
      jobs.push(job("repack_mxfp4", ...from, ...rowsFrom(scales!), count, inner, to, toScales));
    } else if (layout.quantised) {
      const kernel = ggml ? "repack_mxfp4_ggml" : "repack_q8_0";
      jobs.push(job(kernel, ...from, count, inner, to, toScales));
    } else {
      jobs.push(job(encoding === "bf16" ? "repack_bf16" : "repack_f32", ...from, count, inner, to));
    }
  }
  pool.run(jobs);
}

/** The kernels take scales to be finite: float16 ones other than ∞ and NaN, E8M0 ones other than 255. */
function checkScales(placed: Placed, layout: Layout, name: string, matrix: number): void {
  if (!layout.quantised) return;
  const { buffer } = placed.arena;
  const bytes = layout.groups * layout.scaleBytes;
  const bad =
    layout.encoding === "mxfp4"
      ? new Uint8Array(buffer, placed.scales, bytes).indexOf(255)
      : new Uint16Array(buffer, placed.scales, bytes / 2).findIndex((bits) => (bits & 0x7c00) === 0x7c00);
  if (bad < 0) return;
  const blocks = layout.cols / 32;
  const row = Math.floor(bad / (blocks * 8)) * 8 + (bad % 8);
  const block = Math.floor(bad / 8) % blocks;
  if (layout.encoding === "q8_0") notFinite(name, matrix, row, block);
  throw new CheckpointError("an MXFP4 scale is 255, which stands for NaN", {
    where: `${name}, matrix ${matrix}, row ${row}, block ${block}`,
    hint: "The file is damaged.",
  });
}
