import type { WeightSource } from "../../checkpoint/weights.ts";
import type { Weight } from "../ops.ts";
import { dequantize } from "./dequantize.ts";
import { BYTES_PER_INTEGER, type IntegerRows, toIntegers } from "./integers.ts";

/** Values dequantised at a time: a megabyte of float32 stays in a core's cache while every token uses it. */
const CHUNK_VALUES = 1 << 18;

/** How many bytes of decoded matrices may stay; shared by all weights of a model. */
export interface Budget {
  bytes: number;
}

/**
 * A weight that is decoded where it is used, a few rows at a time, so that models far larger than memory run.
 * Matrices are kept in float32, or as integers, as long as the budget lasts: a small model is read once.
 */
export class ReferenceWeight implements Weight {
  readonly rows: number;
  readonly cols: number;
  readonly #source: WeightSource;
  readonly #round: ((x: number) => number) | undefined;
  readonly #budget: Budget;
  readonly #kept = new Map<number, Float32Array>();
  readonly #keptIntegers = new Map<number, IntegerRows>();
  #exact: Float32Array | undefined;

  /** @param round applied to each value, for dialects whose weights are narrower than the file's */
  constructor(source: WeightSource, budget: Budget, round?: (x: number) => number) {
    this.rows = source.rows;
    this.cols = source.cols;
    this.#source = source;
    this.#budget = budget;
    // bfloat16 and MXFP4 values are exact in bfloat16 already
    this.#round = source.encoding === "bf16" || source.encoding === "mxfp4" ? undefined : round;
  }

  /** Rows [first, first + count) of one matrix. */
  async read(matrix: number, first: number, count: number): Promise<Float32Array> {
    const kept = this.#kept.get(matrix);
    if (kept) return kept.subarray(first * this.cols, (first + count) * this.cols);
    const values = dequantize(await this.#source.readRows(matrix, first, count));
    const round = this.#round;
    return round ? values.map(round) : values;
  }

  /** Whether the file holds blocks of integers with a scale. */
  get hasIntegers(): boolean {
    return this.#source.encoding === "q8_0" || this.#source.encoding === "mxfp4";
  }

  /** Hands one matrix to `use`, in order, as chunks of rows. */
  async forEachChunk(matrix: number, use: UseRows<Float32Array>): Promise<void> {
    if (this.#mayKeep(matrix, this.#kept, Float32Array.BYTES_PER_ELEMENT)) {
      this.#kept.set(matrix, await this.read(matrix, 0, this.rows));
    }
    for (const [first, count] of this.#chunks()) use(await this.read(matrix, first, count), first, count);
  }

  /** The same for a weight that {@link hasIntegers}, in that form. */
  async forEachIntegerChunk(matrix: number, use: UseRows<IntegerRows>): Promise<void> {
    if (this.#mayKeep(matrix, this.#keptIntegers, BYTES_PER_INTEGER)) {
      this.#keptIntegers.set(matrix, toIntegers(await this.#source.readRows(matrix, 0, this.rows)));
    }
    const kept = this.#keptIntegers.get(matrix);
    if (kept) return use(kept, 0, this.rows);
    for (const [first, count] of this.#chunks()) {
      use(toIntegers(await this.#source.readRows(matrix, first, count)), first, count);
    }
  }

  #mayKeep(matrix: number, kept: ReadonlyMap<number, unknown>, bytesPerValue: number): boolean {
    const size = this.rows * this.cols * bytesPerValue;
    if (kept.has(matrix) || size > this.#budget.bytes) return false;
    this.#budget.bytes -= size;
    return true;
  }

  *#chunks(): Generator<[first: number, count: number]> {
    const step = Math.max(1, Math.floor(CHUNK_VALUES / this.cols));
    for (let first = 0; first < this.rows; first += step) yield [first, Math.min(step, this.rows - first)];
  }

  /** A vector as the file has it, not rounded. */
  async exact(): Promise<Float32Array> {
    this.#exact ??= dequantize(await this.#source.readRows(0, 0, this.rows));
    return this.#exact;
  }

  /** The whole of a vector, or of a matrix with one row an expert. */
  async all(): Promise<Float32Array> {
    const parts = new Float32Array(this.rows * this.cols);
    await this.forEachChunk(0, (values, first) => parts.set(values, first * this.cols));
    return parts;
  }
}

type UseRows<Rows> = (rows: Rows, first: number, count: number) => void;
