/**
 * Threads that run jobs. The caller's thread is one of them: it writes the jobs of an operation into shared memory, takes
 * its share, and waits for the rest. An idle worker spins for a moment, since the next operation usually follows within
 * microseconds, and then sleeps (futex, `Atomics.wait`).
 *
 * Where there is no shared memory (a page that isn't cross-origin isolated), the pool has one thread: the caller's.
 */
import { EngineError } from "../../errors.ts";
import { type ArenaView, createArenaView, JOB_FIELDS, MAX_JOBS, runJob, type Thread } from "./jobs.ts";
import type { KernelModule } from "./kernels.ts";
import { FAILED, FINISHED, LEAVE, NAP, OPEN, ROUND, SLEEPING, type ToWorker } from "./worker.ts";
import { startWorker, type WorkerHandle } from "./worker-start.ts";

/** How long the caller waits for a worker that has taken a job, in ms, before it calls it dead. */
const PATIENCE = 30_000;

/** How often the caller looks whether its workers are done before it naps: some 100 µs. */
const SPINS = 2 ** 14;

/** Whether this thread may wait: that of a web page may not. */
const mayNap: boolean = (() => {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0);
    return true;
  } catch {
    return false;
  }
})();

/** Threads, and the memory that they share: pass from one pool to the next. */
interface Crew {
  readonly control: Int32Array;
  readonly jobs: Float64Array;
  readonly workers: WorkerHandle[];
  /** Whether the workers are at work, where they read no messages. */
  entered: boolean;
  /** Who is to know of a death. */
  owner: Pool;
}

/** Pools that no engine has yet, with the crews of those whose engines have been closed. */
const idle: Pool[] = [];

export class Pool {
  readonly threads: number;
  readonly kernels: KernelModule;
  readonly #crew: Crew;
  readonly #control: Int32Array;
  readonly #thread: Thread;
  readonly #workers: WorkerHandle[];
  #error: EngineError | undefined;
  #nextArena = 0;

  private constructor(threads: number, kernels: KernelModule, crew?: Crew) {
    const buffer = (bytes: number): ArrayBufferLike =>
      kernels.shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
    this.threads = threads;
    this.kernels = kernels;
    this.#crew = crew ?? {
      control: new Int32Array(buffer(64 * 4)),
      jobs: new Float64Array(buffer(MAX_JOBS * JOB_FIELDS * 8)),
      workers: [],
      entered: false,
      owner: this,
    };
    this.#crew.owner = this;
    this.#control = this.#crew.control;
    this.#workers = this.#crew.workers;
    this.#thread = { index: 0, arenas: new Map(), jobs: this.#crew.jobs };
  }

  /**
   * A pool that no engine uses: an idle one, or a new one.
   *
   * @param threads including the caller's
   */
  static async acquire(threads: number, kernels: KernelModule): Promise<Pool> {
    const possible = kernels.shared ? threads : 1;
    const fits = idle.findIndex(
      (pool) => !pool.failed && pool.threads === possible && pool.kernels.module === kernels.module,
    );
    return fits < 0 ? Pool.#create(possible, kernels) : idle.splice(fits, 1)[0]!;
  }

  static async #create(threads: number, kernels: KernelModule): Promise<Pool> {
    const pool = new Pool(threads, kernels);
    const start = async (index: number): Promise<void> => {
      const worker = await startWorker((reason) => pool.#crew.owner.#fail(reason));
      pool.#workers.push(worker);
      const { module } = kernels;
      await worker.ask({ kind: "start", index, control: pool.#control, jobs: pool.#thread.jobs, module });
    };
    try {
      await Promise.all(Array.from({ length: threads - 1 }, (_, i) => start(i + 1)));
    } catch (cause) {
      pool.#fail((cause as Error).message);
      await pool.release();
      throw pool.#error;
    }
    return pool;
  }

  #fail(reason: string): void {
    this.#error ??= new EngineError("a worker thread has stopped", {
      found: reason,
      hint: "Load the model again.",
    });
  }

  /** Whether a worker has died: such a pool throws at its next operation. */
  get failed(): boolean {
    return this.#error !== undefined;
  }

  /** Makes a memory known to all threads; its id goes into jobs. */
  async addArena(memory: WebAssembly.Memory): Promise<{ id: number; view: ArenaView }> {
    if (this.#error) throw this.#error;
    const id = this.#nextArena++;
    const view = createArenaView(memory, this.kernels.module);
    this.#thread.arenas.set(id, view);
    await this.#tell({ kind: "addArena", id, memory });
    return { id, view };
  }

  async removeArena(id: number): Promise<void> {
    this.#thread.arenas.delete(id);
    await this.#tell({ kind: "removeArena", id }).catch(() => {}); // a dead worker has let go of it
  }

  /** Workers read messages only between two spells of work. */
  async #tell(message: ToWorker): Promise<void> {
    if (this.#workers.length === 0 || this.#error) return;
    if (this.#crew.entered) {
      this.#crew.entered = false;
      Atomics.add(this.#control, LEAVE, 1);
      this.#wake();
    }
    await Promise.all(this.#workers.map((worker) => worker.ask(message))).catch((cause) => {
      throw this.#error ?? cause;
    });
  }

  #enter(): void {
    this.#crew.entered = true;
    const leave = Atomics.load(this.#control, LEAVE);
    for (const worker of this.#workers) worker.tell({ kind: "work", leave });
  }

  /** Whether a worker would have to be woken. */
  get sleeps(): boolean {
    return !this.#crew.entered || Atomics.load(this.#control, SLEEPING) > 0;
  }

  #wake(): void {
    Atomics.add(this.#control, ROUND, 1);
    if (Atomics.load(this.#control, SLEEPING) > 0) Atomics.notify(this.#control, ROUND);
  }

  /**
   * Runs all jobs of one operation, in any order, and returns when all are done.
   *
   * @throws EngineError if a worker died or a kernel trapped
   */
  run(jobs: readonly (readonly number[])[]): void {
    for (let first = 0; first < jobs.length; first += MAX_JOBS) {
      const count = Math.min(MAX_JOBS, jobs.length - first);
      for (let i = 0; i < count; i++) this.#thread.jobs.set(jobs[first + i]!, i * JOB_FIELDS);
      this.#runTable(count);
    }
  }

  /** The same on the caller's thread alone, for what is over before a worker would be awake. */
  runHere(jobs: readonly (readonly number[])[]): void {
    if (this.#error) throw this.#error;
    for (const job of jobs) {
      this.#thread.jobs.set(job, 0);
      this.#guarded(() => runJob(this.#thread, 0));
    }
  }

  #runTable(count: number): void {
    if (this.#error) throw this.#error;
    const control = this.#control;
    if (this.#workers.length === 0 || count === 1) {
      this.#guarded(() => {
        for (let i = 0; i < count; i++) runJob(this.#thread, i);
      });
      return;
    }
    if (!this.#crew.entered) this.#enter();
    Atomics.store(control, FINISHED, 0);
    Atomics.store(control, OPEN, count); // from here on, workers take jobs: the table is complete
    this.#wake();
    let mine = 0;
    this.#guarded(() => {
      for (let job = Atomics.sub(control, OPEN, 1); job > 0; job = Atomics.sub(control, OPEN, 1)) {
        runJob(this.#thread, job - 1);
        mine++;
      }
    });
    Atomics.add(control, FINISHED, mine);
    this.#awaitOthers(count);
  }

  #awaitOthers(count: number): void {
    const control = this.#control;
    let deadline = 0;
    for (let spins = 1; Atomics.load(control, FINISHED) < count; spins++) {
      if (Atomics.load(control, FAILED) !== 0) this.#fail("an error in a kernel");
      if (this.#error) throw this.#error;
      if (spins % SPINS !== 0) continue;
      deadline ||= performance.now() + PATIENCE;
      if (performance.now() > deadline) this.#fail(`no answer for ${PATIENCE / 1000} s`);
      // a worker that takes so long may wait for the very processor that this spins on
      if (mayNap) Atomics.wait(control, NAP, 0, 0.05);
    }
  }

  #guarded(run: () => void): void {
    try {
      run();
    } catch (cause) {
      this.#error = new EngineError("a kernel failed", { found: (cause as Error).message, cause });
      throw this.#error;
    }
  }

  /**
   * Ends this pool, its arenas removed. Its threads go to one for the next engine, so that what still runs for the closed one
   * meets an error here, and not the other's memory; a broken crew ends.
   */
  async release(): Promise<void> {
    if (this.#crew.owner !== this) return; // closed before
    if (this.#error) await Promise.all(this.#workers.map((worker) => worker.terminate()));
    else {
      idle.push(new Pool(this.threads, this.kernels, this.#crew));
      this.#error = new EngineError("the engine has been closed");
    }
  }
}
