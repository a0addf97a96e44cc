import { UsageError } from "../errors.ts";
import type { KvCache } from "../model/kv-cache.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import type { TokenSource } from "./chat.ts";
import { type GeneratedToken, type GenerateOptions, generate } from "./generate.ts";
import type { Model } from "./model.ts";

export interface PrefixCacheOptions {
  /** Bytes of keys and values to keep at most. Those of sequences under way count, but are never given up. */
  readonly bytes: number;
}

/** Tokens that must be at stake for a prompt to be cut where it parts from another. */
const WORTH_A_CHECKPOINT = 32;

/** A sequence and its keys and values. */
interface Entry {
  readonly cache: KvCache;
  /** What the cache holds, perhaps with more behind it. */
  ids: number[];
  /** Where its prompt's checkpoint is. */
  mark: number;
  /** Whether a generation is under way with it. */
  running: boolean;
  /** Whether its prompt is computed, or has been given up. */
  prompt: Milestone;
}

/**
 * Generates for many at once, and lets each prompt start from the longest beginning that another sequence has computed, be it
 * finished or still under way: a conversation's next turn, a system prompt that many share, several answers to
 * one question. The result has the bits of a fresh start. `onReuse` in the options tells how much was there.
 *
 * Sliding layers forget, so that a prompt can only start where a sequence has a checkpoint: ahead of the last token of each
 * prompt, at the options' `checkpoints`, and where two prompts were found to part, for the third one.
 *
 * Finished sequences stay until the budget is exceeded; then those go that haven't been of use for longest.
 */
export class PrefixCache implements TokenSource, Disposable {
  readonly model: Model;
  readonly #limit: number;
  /** Least recently used first. */
  readonly #entries = new Set<Entry>();
  #disposed = false;

  constructor(model: Model, { bytes }: PrefixCacheOptions) {
    if (!(bytes >= 0)) throw new UsageError("bytes is out of range", { expected: "0 or more", found: bytes });
    this.model = model;
    this.#limit = bytes;
  }

  requireTokenizer(): Tokenizer {
    return this.model.requireTokenizer();
  }

  /** Bytes of keys and values that it holds. */
  get bytes(): number {
    let sum = 0;
    for (const { cache } of this.#entries) sum += cache.bytes;
    return sum;
  }

  /** Sequences that it holds, those under way included. */
  get sequences(): number {
    return this.#entries.size;
  }

  /**
   * As {@link Model.generate}, any number of times at once. A generation that is aborted or dropped leaves what it has computed
   * to others, as far as the budget allows.
   *
   * @param prompt all ids from the start of the sequence
   */
  async *generate(
    prompt: readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, void, void> {
    if (this.#disposed) throw new UsageError("the prefix cache has been closed");
    const { entry, checkpoints } = await this.#begin(prompt, options.signal);
    const onPrefill = (done: number, total: number): void => {
      if (entry.cache.length >= entry.mark) entry.prompt.reach();
      this.#makeRoom();
      options.onPrefill?.(done, total);
    };
    let failed = false;
    try {
      const { transformer, tokenizer, defaults } = this.model;
      const rest = prompt.slice(entry.cache.length);
      for await (const token of generate(transformer, rest, entry.cache, tokenizer, {
        ...defaults,
        ...options,
        onPrefill,
        checkpoints: [...(options.checkpoints ?? []), ...checkpoints],
      })) {
        entry.ids.push(token.id);
        yield token;
      }
    } catch (error) {
      failed = !options.signal?.aborted;
      throw error;
    } finally {
      entry.prompt.reach();
      entry.running = false;
      if (failed || this.#disposed) this.#drop(entry);
      else this.#touch(entry);
      this.#makeRoom();
    }
  }

  /** Frees what is idle at once, and what is under way when it ends. */
  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const entry of this.#entries) if (!entry.running) this.#drop(entry);
  }

  /** Finds or makes a cache that begins like the prompt, and tells where checkpoints are to be taken on its way on. */
  async #begin(
    prompt: readonly number[],
    signal: AbortSignal | undefined,
  ): Promise<{ entry: Entry; checkpoints: number[] }> {
    const mark = prompt.length - 1; // one is left to be computed
    let { best, reach, shared, soon } = this.#find(prompt);
    if (soon) {
      await settled(soon, signal);
      ({ best, reach, shared } = this.#find(prompt));
    }
    signal?.throwIfAborted();
    const entry = await this.#take(best, reach, [...prompt], mark);
    this.#makeRoom();
    const checkpoints = [mark];
    if (shared - entry.cache.length >= WORTH_A_CHECKPOINT) checkpoints.push(shared);
    return { entry, checkpoints };
  }

  /** The sequence that saves most, how far it does, and how far any agrees with the prompt. */
  #find(prompt: readonly number[]): {
    best: Entry | undefined;
    reach: number;
    shared: number;
    /** A prompt that is being computed, and will save more. */
    soon: Promise<void> | undefined;
  } {
    let best: Entry | undefined;
    let [reach, shared, later] = [0, 0, 0];
    let soon: Promise<void> | undefined;
    for (const entry of this.#entries) {
      const { ids, cache, mark } = entry;
      const common = commonPrefix(ids, prompt);
      const held = Math.min(common, cache.length);
      const position = cache.reachable(held);
      // of equals the latest, and rather one that can be taken over
      if (position > reach || (position > 0 && position === reach && !entry.running)) best = entry;
      reach = Math.max(reach, position);
      shared = Math.max(shared, held);
      if (entry.prompt.isAhead && common >= mark && mark > later)
        [soon, later] = [entry.prompt.reached, mark];
    }
    return { best, reach, shared, soon: later > reach ? soon : undefined };
  }

  /** An idle sequence that the prompt goes on with is taken over, others are copied as far as they serve. */
  async #take(best: Entry | undefined, reach: number, ids: number[], mark: number): Promise<Entry> {
    if (best) this.#touch(best);
    const start = { ids, mark, running: true, prompt: new Milestone() };
    if (best && !best.running && reach >= best.mark) {
      Object.assign(best, start);
      try {
        await best.cache.rewind(reach);
      } catch (error) {
        best.prompt.reach();
        this.#drop(best);
        throw error;
      }
      return best;
    }
    const cache = best ? await best.cache.fork(reach) : this.model.transformer.createCache();
    const entry: Entry = { cache, ...start };
    this.#entries.add(entry);
    return entry;
  }

  #touch(entry: Entry): void {
    this.#entries.delete(entry);
    this.#entries.add(entry);
  }

  #makeRoom(): void {
    let { bytes } = this;
    for (const entry of this.#entries) {
      if (bytes <= this.#limit) return;
      if (entry.running) continue;
      bytes -= entry.cache.bytes;
      this.#drop(entry);
    }
  }

  #drop(entry: Entry): void {
    entry.cache[Symbol.dispose]();
    this.#entries.delete(entry);
  }
}

/** Something that others wait for. */
class Milestone {
  readonly reached: Promise<void>;
  isAhead = true;
  #resolve = (): void => {};

  constructor() {
    this.reached = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  reach(): void {
    this.isAhead = false;
    this.#resolve();
  }
}

/** How many ids two sequences have in common, the prompt's last not counted. */
function commonPrefix(ids: readonly number[], prompt: readonly number[]): number {
  const most = Math.min(ids.length, prompt.length - 1);
  let common = 0;
  while (common < most && ids[common] === prompt[common]) common++;
  return common;
}

/** Waits for a promise, but no longer than until the signal. */
function settled(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    void promise.then(resolve).finally(() => signal.removeEventListener("abort", abort));
  });
}
