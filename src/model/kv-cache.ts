import type { ModelConfig } from "../config.ts";
import type { AttentionSpan, Ops, Ring, Tensor } from "../engine/ops.ts";

/**
 * Keys and values of the tokens so far, a ring a layer. Keys are stored as RoPE left them.
 *
 * A sliding layer's ring holds the window and the current chunk, and no more; a full layer's grows.
 */
export class KvCache implements Disposable {
  /** Number of tokens held, which is the position of the next one. */
  length = 0;
  readonly #config: ModelConfig;
  readonly #ops: Ops;
  readonly #rings: Ring[] = [];

  constructor(config: ModelConfig, ops: Ops) {
    this.#config = config;
    this.#ops = ops;
  }

  /** Keys that a query on this layer sees, itself included. */
  window(layer: number): number {
    return this.#config.layerTypes[layer] === "sliding"
      ? this.#config.slidingWindow
      : Number.POSITIVE_INFINITY;
  }

  /**
   * Adds the keys and values [T, kvHeads, headDim] of the current chunk to a layer, and returns what its queries attend
   * to. `length` moves on only when the whole forward pass is done ({@link advance}).
   */
  async append(layer: number, k: Tensor, v: Tensor): Promise<{ ring: Ring; span: AttentionSpan }> {
    const ops = this.#ops;
    const window = this.window(layer);
    const position = this.length;
    const end = position + k.shape[0]!;
    const first = Math.max(0, position - window + 1); // the oldest key that the chunk's first query sees
    let ring = this.#rings[layer];
    if (ring === undefined) {
      const { numKeyValueHeads, headDim } = this.#config;
      ring = await ops.createRing(end - first, numKeyValueHeads, headDim);
    } else if (end - first > ring.capacity) {
      // full layers grow by half to keep copying rare; sliding ones take exactly what a chunk of this size needs
      const roomy = Math.max(end, Math.min(Math.ceil(end * 1.5), this.#config.maxContextLength));
      const capacity = window === Number.POSITIVE_INFINITY ? roomy : end - first;
      ring = await ops.resizeRing(ring, capacity, first, position);
    }
    this.#rings[layer] = ring;
    await ops.store(k, v, ring, position);
    return { ring, span: { position, first, window } };
  }

  /** Counts the tokens of a finished chunk. */
  advance(tokens: number): void {
    this.length += tokens;
  }

  /** Lets go of its memory, as engines want that hold it outside the JavaScript heap. */
  [Symbol.dispose](): void {
    for (const ring of this.#rings.splice(0)) this.#ops.freeRing(ring);
    this.length = 0;
  }
}
