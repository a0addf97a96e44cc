import type { Tensor } from "../engine/ops.ts";
import type { KvCache } from "./kv-cache.ts";
import type { ForwardOptions } from "./transformer.ts";

/** Rows of a pass, when there is a choice. */
const MAX_ROWS = 512;
/** How long a pass waits for sequences that were in the last one, as a part of the time that one took. */
const PATIENCE = 0.1;

/** A forward pass that somebody waits for. */
export interface PassRequest {
  readonly cache: KvCache;
  readonly ids: readonly number[];
  readonly options: ForwardOptions;
  readonly resolve: (logits: Tensor) => void;
  readonly reject: (reason: unknown) => void;
}

/** Something to do with a cache that no pass may meet halfway. */
interface Work {
  readonly cache: KvCache;
  readonly run: () => Promise<void>;
}

/**
 * Continuous batching: forward passes that wait at the same time are computed as one, since what takes the time is to
 * read the weights. Whoever decodes goes along in each pass; prompts join in order of arrival as far as there is
 * room, the first of them always. So neither keeps the other waiting for more than a pass. A pass with hooks runs alone.
 *
 * What is asked of one cache is done in that order.
 */
export class PassQueue {
  readonly #compute: (batch: readonly PassRequest[]) => Promise<void>;
  #waiting: (PassRequest | Work)[] = [];
  #running = false;
  /** Caches that are being worked on. */
  #current: readonly KvCache[] = [];
  /** Caches that were served last, and haven't come back. */
  readonly #served = new Set<KvCache>();
  #servedAt = 0;
  #passTime = 0;

  /** @param compute settles every request of a batch, of which no two have the same cache */
  constructor(compute: (batch: readonly PassRequest[]) => Promise<void>) {
    this.#compute = compute;
  }

  pass(ids: readonly number[], cache: KvCache, options: ForwardOptions): Promise<Tensor> {
    return new Promise((resolve, reject) => this.#enter({ ids, cache, options, resolve, reject }));
  }

  /** Runs work on a cache when no pass is under way. */
  work<T>(cache: KvCache, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => this.#enter({ cache, run: () => work().then(resolve, reject) }));
  }

  /** Whether something is under way or asked for with this cache. */
  has(cache: KvCache): boolean {
    return this.#current.includes(cache) || this.#waiting.some((other) => other.cache === cache);
  }

  /** Whether other sequences than this cache's want to be served, too; one that was just served most likely does. */
  isShared(cache: KvCache): boolean {
    const others = [...this.#current, ...this.#waiting.map((other) => other.cache)];
    if (performance.now() < this.#servedAt + this.#passTime) others.push(...this.#served);
    return others.some((other) => other !== cache && !other.disposed);
  }

  #enter(request: PassRequest | Work): void {
    this.#waiting.push(request);
    this.#served.delete(request.cache);
    if (this.#running) return;
    this.#running = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      // those who were served in the last pass draw their tokens now, and timers and signals have their turn
      await nextTask();
      await this.#awaitOthers();
      await this.#work();
      const batch = this.#nextBatch();
      if (batch.length === 0) continue;
      this.#current = batch.map(({ cache }) => cache);
      const start = performance.now();
      await this.#compute(batch);
      this.#servedAt = performance.now();
      this.#passTime = this.#servedAt - start;
      this.#served.clear();
      for (const { cache } of batch) this.#served.add(cache);
      this.#current = [];
    }
    this.#running = false;
  }

  /** Sequences that part for a moment, since one's reader is slower, would else take turns from then on. */
  async #awaitOthers(): Promise<void> {
    const deadline = this.#servedAt + PATIENCE * this.#passTime;
    const missing = (): boolean => [...this.#served].some((cache) => !cache.disposed);
    while (missing() && performance.now() < deadline) await nextTask();
  }

  /** Does what is asked for with caches ahead of their next passes. */
  async #work(): Promise<void> {
    for (;;) {
      const work = this.#ready().find((request) => "run" in request);
      if (!work) return;
      this.#take([work]);
      this.#current = [work.cache];
      await work.run();
      this.#served.add(work.cache);
      this.#current = [];
    }
  }

  #nextBatch(): readonly PassRequest[] {
    const passes = this.#ready().filter((request) => "ids" in request);
    const batch = passes[0]?.options.hooks ? passes.slice(0, 1) : [];
    if (batch.length === 0) {
      const plain = passes.filter(({ options }) => !options.hooks);
      batch.push(...plain.filter(({ ids }) => ids.length < 2).slice(0, MAX_ROWS));
      let rows = batch.length;
      const prompts = plain.filter(({ ids }) => ids.length > 1);
      for (const [i, prompt] of prompts.entries()) {
        rows += prompt.ids.length;
        if (i > 0 && rows > MAX_ROWS) break;
        batch.push(prompt);
      }
    }
    this.#take(batch);
    return batch;
  }

  /** What isn't behind something else of the same cache. */
  #ready(): (PassRequest | Work)[] {
    const seen = new Set<KvCache>();
    return this.#waiting.filter(({ cache }) => !seen.has(cache) && seen.add(cache));
  }

  #take(requests: readonly (PassRequest | Work)[]): void {
    this.#waiting = this.#waiting.filter((request) => !requests.includes(request));
  }
}

/** Lets the event loop go round once. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) =>
    typeof setImmediate === "function" ? setImmediate(resolve) : setTimeout(resolve),
  );
}
