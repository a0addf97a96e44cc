import { UsageError } from "../errors.ts";
import type { KvCache } from "../model/kv-cache.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import { type GeneratedToken, type GenerateOptions, generate } from "./generate.ts";
import type { Model } from "./model.ts";

/**
 * A sequence that keeps its cache between generations: a prompt that begins like what was computed last costs only what
 * is new in it, and the result has the same bits as without.
 *
 * Sliding layers forget, so how far back a prompt may part from the last one and still profit is decided by the cache's
 * checkpoints. One is taken at the end of each prompt, which is where the next turn of a conversation parts from this
 * one, its reasoning being dropped; `checkpoints` in the options asks for more.
 */
export class Session implements Disposable {
  readonly model: Model;
  /** How many tokens of the latest prompt were in the cache already. */
  reusedTokens = 0;
  readonly #cache: KvCache;
  /** The tokens that the cache holds, perhaps with more behind them. */
  #ids: number[] = [];
  #busy = false;

  constructor(model: Model) {
    this.model = model;
    this.#cache = model.transformer.createCache();
  }

  requireTokenizer(): Tokenizer {
    return this.model.requireTokenizer();
  }

  /**
   * As {@link Model.generate}.
   *
   * @param prompt all ids from the start of the sequence
   * @throws UsageError if a generation of this session is still under way
   */
  async *generate(
    prompt: readonly number[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, void, void> {
    if (this.#busy) {
      throw new UsageError("the session is generating already", {
        hint: "Await the end of the answer, or give each conversation a session.",
      });
    }
    this.#busy = true;
    try {
      const ids = this.#ids;
      const held = Math.min(ids.length, this.#cache.length, prompt.length - 1); // one is left to be computed
      let shared = 0;
      while (shared < held && ids[shared] === prompt[shared]) shared++;
      this.reusedTokens = await this.#cache.rewind(shared);
      this.#ids = [...prompt];
      const rest = prompt.slice(this.reusedTokens);
      const { transformer, tokenizer, defaults } = this.model;
      const checkpoints = [...(options.checkpoints ?? []), prompt.length];
      for await (const token of generate(transformer, rest, this.#cache, tokenizer, {
        ...defaults,
        ...options,
        checkpoints,
      })) {
        this.#ids.push(token.id);
        yield token;
      }
    } finally {
      this.#busy = false;
    }
  }

  [Symbol.dispose](): void {
    this.#cache[Symbol.dispose]();
    this.#ids = [];
  }
}
