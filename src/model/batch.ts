import type { ModelConfig } from "../config.ts";
import type { AttentionSpan, Ops, Tensor } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import type { PassRequest } from "./pass-queue.ts";

/**
 * The sequences that one forward pass computes. Their tokens lie one sequence after the other; all that tells them apart is
 * attention and RoPE, which see each sequence's own cache and positions.
 */
export class Batch {
  #members: readonly PassRequest[];

  private constructor(members: readonly PassRequest[]) {
    this.#members = members;
  }

  /** Makes room in the caches; a request that can't be computed fails, and the others stay. */
  static async of(requests: readonly PassRequest[], config: ModelConfig): Promise<Batch> {
    const members: PassRequest[] = [];
    for (const request of requests) {
      const { ids, cache, options } = request;
      try {
        checkIds(ids, cache.length, config);
        options.signal?.throwIfAborted();
        await cache.reserve(ids.length);
        members.push(request);
      } catch (error) {
        request.reject(error);
      }
    }
    return new Batch(members);
  }

  get isEmpty(): boolean {
    return this.#members.length === 0;
  }

  /** Of all tokens. */
  get ids(): number[] {
    return this.#members.flatMap(({ ids }) => ids);
  }

  get positions(): number[] {
    return this.#members.flatMap(({ ids, cache }) => ids.map((_, t) => cache.length + t));
  }

  /** Those of the one sequence that a pass with hooks has. */
  get hooks(): PassRequest["options"]["hooks"] {
    return this.#members[0]?.options.hooks;
  }

  /** What each sequence's tokens attend to. */
  spans(layer: number): AttentionSpan[] {
    return this.#members.map(({ cache, ids }) => cache.span(layer, ids.length));
  }

  /** Throws when nobody waits for the pass any longer. */
  throwIfAborted(): void {
    if (this.#members.every(({ options }) => options.signal?.aborted))
      this.#members[0]?.options.signal?.throwIfAborted();
  }

  /** Lets sequences go that nobody waits for, and returns the rows that stay, or undefined if all do. */
  dropAborted(): number[] | undefined {
    if (!this.#members.some(({ options }) => options.signal?.aborted)) return undefined;
    const rows: number[] = [];
    let row = 0;
    for (const { ids, options } of this.#members) {
      for (const _ of ids) {
        if (!options.signal?.aborted) rows.push(row);
        row++;
      }
    }
    this.#members = this.#members.filter(({ options: { signal }, reject }) => {
      if (signal?.aborted) reject(signal.reason);
      return !signal?.aborted;
    });
    return rows;
  }

  /** The rows of which logits are wanted. */
  logitRows(): number[] {
    let end = 0;
    return this.#members.flatMap(({ ids, options }) => {
      const start = end;
      end += ids.length;
      return options.lastOnly ? [end - 1] : ids.map((_, t) => start + t);
    });
  }

  /** Ends the pass: each sequence gets its rows of the logits. */
  resolve(logits: Tensor, ops: Ops): void {
    let row = 0;
    for (const { ids, cache, options, resolve } of this.#members) {
      const rows = Array.from({ length: options.lastOnly ? 1 : ids.length }, () => row++);
      cache.advance(ids.length);
      resolve(ops.rows(logits, rows));
    }
  }

  reject(error: unknown): void {
    for (const { options, reject } of this.#members)
      reject(options.signal?.aborted ? options.signal.reason : error);
  }
}

function checkIds(ids: readonly number[], position: number, config: ModelConfig): void {
  if (ids.length === 0) throw new UsageError("no token ids", { hint: "A prompt has at least one token." });
  const bad = ids.findIndex((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabSize);
  if (bad >= 0) {
    throw new UsageError("token id outside the vocabulary", {
      where: `token ${position + bad}`,
      expected: `0 to ${config.vocabSize - 1}`,
      found: String(ids[bad]),
    });
  }
}
