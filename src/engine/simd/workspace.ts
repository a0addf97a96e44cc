import type { Tensor } from "../ops.ts";
import { Arenas } from "./arena.ts";
import type { Pool } from "./pool.ts";
import { Activations, type SimdTensor } from "./tensor.ts";

/** Values below which an operation isn't worth sharing with a thread that waits for work, and waking one that sleeps: some 15 and 100 µs. */
const WORTH_SHARING = 2 ** 15;
const WORTH_WAKING = 2 ** 18;
/** How long the engine keeps the event loop waiting, in ms. */
const YIELD_EVERY = 25;

/** What all operations work with: threads, memories, and the activations in the first of these, which is called home. */
export class Workspace {
  readonly pool: Pool;
  readonly arenas: Arenas;
  readonly activations: Activations;
  #lastYield = performance.now();
  #rows = { at: 0, count: 0 };

  private constructor(pool: Pool, arenas: Arenas) {
    this.pool = pool;
    this.arenas = arenas;
    this.activations = new Activations(arenas);
  }

  static async create(pool: Pool): Promise<Workspace> {
    return new Workspace(pool, await Arenas.create(pool));
  }

  create(shape: readonly number[], ids?: Int32Array): SimdTensor {
    return this.activations.create(shape, ids);
  }

  /** Address of a tensor, which is refused if its memory has gone to others. */
  addressOf(x: Tensor): number {
    return this.activations.addressOf(x as SimdTensor);
  }

  /** A tensor's values: good until something is allocated, since a memory that grows takes its views along. */
  valuesOf(x: Tensor): Float32Array {
    return this.activations.floats(x as SimdTensor);
  }

  /** Values at an address in home. */
  floats(at: number, length: number): Float32Array {
    return new Float32Array(this.arenas.home.buffer, at, length);
  }

  /** Row numbers where the threads can read them. */
  list(rows: readonly number[]): number {
    const at = this.activations.allocate(rows.length * 4);
    new Int32Array(this.arenas.home.buffer, at, rows.length).set(rows);
    return at;
  }

  /** The row numbers 0 to n − 1. */
  firstRows(n: number): number {
    if (n > this.#rows.count) {
      const { home } = this.arenas;
      if (this.#rows.count > 0) home.free(this.#rows.at, this.#rows.count * 4);
      this.#rows = { at: this.arenas.allocateAtHome(n * 4), count: n };
      new Int32Array(home.buffer, this.#rows.at, n).set(Array.from({ length: n }, (_, i) => i));
    }
    return this.#rows.at;
  }

  /** Runs jobs that take about as long as so many simple operations on numbers. */
  run(jobs: readonly (readonly number[])[], work: number): void {
    if (jobs.length > 1 && this.#worthSharing(work)) this.pool.run(jobs);
    else this.pool.runHere(jobs);
  }

  #worthSharing(work: number): boolean {
    return work >= (this.pool.sleeps ? WORTH_WAKING : WORTH_SHARING);
  }

  /** Splits the rows of x, of `width` values each, among the threads. */
  eachRow(x: Tensor, width: number, job: (first: number, count: number, part: number) => number[]): void {
    const { length } = x as SimdTensor;
    const rows = length / width;
    const parts = this.#worthSharing(length) ? this.pool.threads * 2 : 1;
    const step = Math.ceil(rows / parts / 4) * 4;
    const jobs: number[][] = [];
    for (let first = 0; first < rows; first += step) {
      jobs.push(job(first, Math.min(step, rows - first), jobs.length));
    }
    this.run(jobs, length);
  }

  /** Lets timers, signals and other requests have their turn now and then. */
  async breathe(): Promise<void> {
    if (performance.now() - this.#lastYield < YIELD_EVERY) return;
    await new Promise<void>((resolve) =>
      typeof setImmediate === "function" ? setImmediate(resolve) : setTimeout(resolve),
    );
    this.#lastYield = performance.now();
  }

  async close(): Promise<void> {
    await this.arenas.close();
    await this.pool.release();
  }
}
