/** Matrices in arenas, in the kernels' order (`assembly/repack.ts`). */
import type { EncodedRows, Encoding, WeightSource } from "../../checkpoint/weights.ts";
import { CheckpointError } from "../../errors.ts";
import type { Weight } from "../ops.ts";
import { dequantize } from "../reference/dequantize.ts";
import type { Arena, Arenas, Piece } from "./arena.ts";
import { callJob } from "./jobs.ts";
import type { Pool } from "./pool.ts";

/** Bytes of a file that are read and brought into order at a time. */
const CHUNK_BYTES = 4 * 2 ** 20;

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

/**
 * Reads one matrix of a source into a piece of memory and brings it into the kernels' order, chunk by chunk: while one
 * is read, the one before is repacked by all threads.
 */
export async function loadMatrix(
  source: WeightSource,
  matrix: number,
  layout: Layout,
  piece: Piece,
  pool: Pool,
): Promise<Placed> {
  const { arena, at } = piece;
  const placed = { ...piece, scales: at + layout.scalesAt };
  const rowBytes = Math.max(1, layout.groupBytes / layout.groupRows);
  const groupsAtATime = Math.max(1, Math.floor(CHUNK_BYTES / (rowBytes * layout.groupRows)));
  const read = (group: number): Promise<EncodedRows> | undefined => {
    if (group >= layout.groups) return undefined;
    const first = group * layout.groupRows;
    return source.readRows(matrix, first, Math.min(groupsAtATime * layout.groupRows, layout.rows - first));
  };
  let next = read(0);
  for (let group = 0; group < layout.groups; group += groupsAtATime) {
    const rows = await next!;
    next = read(group + groupsAtATime);
    next?.catch(() => {}); // an error shows at the await, if this turn gets there
    repack(rows, group, layout, arena, placed, pool);
  }
  if (layout.encoding === "q8_0") checkScales(placed, layout, source.name, matrix);
  return placed;
}

function repack(
  rows: EncodedRows,
  group: number,
  layout: Layout,
  arena: Arena,
  placed: Placed,
  pool: Pool,
): void {
  const { groupRows, cols } = layout;
  const groups = Math.ceil(rows.rows / groupRows);
  const data = rows.encoding === "f16" ? new Uint8Array(dequantize(rows).buffer) : rows.data;
  const bytesOfRow = data.length / rows.rows;
  const scalesOfRow = (rows.scales?.length ?? 0) / rows.rows;
  const staging = groups * groupRows * (bytesOfRow + scalesOfRow);
  const at = arena.tryAllocate(staging) ?? -1;
  if (at < 0) throw new RangeError("no room to repack weights"); // the arenas leave some
  const bytes = new Uint8Array(arena.buffer, at, staging);
  const scalesAt = groups * groupRows * bytesOfRow;
  bytes.set(data);
  bytes.fill(0, data.length, scalesAt); // rows that complete the last group
  if (rows.scales) {
    bytes.set(rows.scales, scalesAt);
    bytes.fill(0, scalesAt + rows.scales.length);
  }

  const inner = layout.quantised ? cols / 32 : cols;
  const share = Math.ceil(groups / pool.threads);
  const jobs: number[][] = [];
  for (let g = 0; g < groups; g += share) {
    const count = Math.min(share, groups - g);
    const from = at + g * groupRows * bytesOfRow;
    const to = placed.at + (group + g) * layout.groupBytes;
    const toScales = placed.scales + (group + g) * layout.scaleBytes;
    if (layout.encoding === "mxfp4") {
      const scales = at + scalesAt + g * groupRows * scalesOfRow;
      jobs.push(callJob(arena.id, "repack_mxfp4", from, scales, count, inner, to, toScales));
    } else if (layout.encoding === "q8_0") {
      jobs.push(callJob(arena.id, "repack_q8_0", from, count, inner, to, toScales));
    } else {
      const kernel = layout.encoding === "bf16" ? "repack_bf16" : "repack_f32";
      jobs.push(callJob(arena.id, kernel, from, count, inner, to));
    }
  }
  pool.run(jobs);
  arena.free(at, staging);
}

/** The kernels take float16 scales to be finite. */
function checkScales(placed: Placed, layout: Layout, name: string, matrix: number): void {
  const scales = new Uint16Array(placed.arena.buffer, placed.scales, (layout.groups * layout.scaleBytes) / 2);
  const bad = scales.findIndex((bits) => (bits & 0x7c00) === 0x7c00);
  if (bad < 0) return;
  const blocks = layout.cols / 32;
  const row = Math.floor(bad / (blocks * 8)) * 8 + (bad % 8);
  throw new CheckpointError("a Q8_0 scale is not finite", {
    where: `${name}, matrix ${matrix}, row ${row}, block ${Math.floor(bad / 8) % blocks}`,
    hint: "The file is damaged.",
  });
}

/** A matrix of its own piece of memory. */
export async function placeMatrix(
  source: WeightSource,
  matrix: number,
  layout: Layout,
  arenas: Arenas,
  pool: Pool,
): Promise<Placed> {
  const piece = await arenas.allocate(layout.bytes);
  return loadMatrix(source, matrix, layout, piece, pool);
}
