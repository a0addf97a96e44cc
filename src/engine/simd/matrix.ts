/** Matrices in arenas, in the kernels' order (`assembly/repack.ts`). */
import { readInto } from "../../checkpoint/file.ts";
import type { Encoding, StoredRange, WeightSource } from "../../checkpoint/weights.ts";
import { CheckpointError, EngineError } from "../../errors.ts";
import type { Weight } from "../ops.ts";
import { dequantize } from "../reference/dequantize.ts";
import type { Piece } from "./arena.ts";
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
    repack(chunk, layout, pool);
    chunk.placed.arena.free(chunk.staging, chunk.stagingBytes);
    onBytes(chunk.stagingBytes);
  };
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
  for (const { matrix, placed } of placements) checkScales(placed, layout, source.name, matrix);
}

/** Rows of a matrix in a staging area beside its place. Row 2i lies at even + i · step, row 2i + 1 at odd + i · step. */
interface Chunk {
  readonly placed: Placed;
  readonly group: number;
  readonly groups: number;
  readonly ggml: boolean;
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
  const stage = (bytes: number): number => {
    const at = arena.tryAllocate(bytes);
    if (at === undefined)
      throw new EngineError("no room to repack weights", { expected: `${bytes} more bytes` });
    return at;
  };
  const common = { placed, group, groups };

  const { stored } = source;
  // a plain memory that grows takes its old buffer away from whoever reads into it
  const movable = arena.buffer instanceof ArrayBuffer;
  if (stored === undefined || source.encoding === "f16" || movable) {
    const rows = await source.readRows(matrix, first, count);
    const data = rows.encoding === "f16" ? new Uint8Array(dequantize(rows).buffer) : rows.data;
    const rowBytes = data.length / count;
    const scaleBytes = (rows.scales?.length ?? 0) / count;
    const stagingBytes = padded * (rowBytes + scaleBytes);
    const staging = stage(stagingBytes);
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
  const staging = stage(stagingBytes);
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
  await Promise.all(reads);
  return { ...common, ggml: form === "ggml-mxfp4", staging, stagingBytes, data, scales };
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
  throw new CheckpointError(
    layout.encoding === "mxfp4"
      ? "an MXFP4 scale is 255, which stands for NaN"
      : "a Q8_0 scale is not a finite number",
    {
      where: `${name}, matrix ${matrix}, row ${row}, block ${Math.floor(bad / 8) % blocks}`,
      hint: "The file is damaged.",
    },
  );
}
