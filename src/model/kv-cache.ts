import type { ModelConfig } from "../config.ts";
import type { AttentionSpan, Ops, Ring, Tensor } from "../engine/ops.ts";

/**
 * Keys and values of the tokens so far, a pair of rings a layer. Keys are stored as RoPE left them.
 *
 * A sliding layer's ring holds the window and the current chunk, and no more; a full layer's grows.
 */
export class KvCache {
  /** Number of tokens held, which is the position of the next one. */
  length = 0;
  readonly #config: ModelConfig;
  readonly #ops: Ops;
  readonly #layers: { keys: Ring; values: Ring }[] = [];

  constructor(config: ModelConfig, ops: Ops) {
    this.#config = config;
    this.#ops = ops;
    const width = config.numKeyValueHeads * config.headDim;
    for (let layer = 0; layer < config.numLayers; layer++) {
      this.#layers.push({ keys: ops.createRing(1, width), values: ops.createRing(1, width) });
    }
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
  async append(
    layer: number,
    k: Tensor,
    v: Tensor,
  ): Promise<{ keys: Ring; values: Ring; span: AttentionSpan }> {
    const rings = this.#layers[layer]!;
    const window = this.window(layer);
    const position = this.length;
    const end = position + k.shape[0]!;
    const first = Math.max(0, position - window + 1); // the oldest key that the chunk's first query sees
    if (end - first > rings.keys.capacity) {
      // full layers grow by half to keep copying rare; sliding ones take exactly what a chunk of this size needs
      const capacity = window === Number.POSITIVE_INFINITY ? Math.ceil(end * 1.5) : end - first;
      rings.keys = await this.#ops.resizeRing(rings.keys, capacity, first, position);
      rings.values = await this.#ops.resizeRing(rings.values, capacity, first, position);
    }
    await this.#ops.store(k, rings.keys, position);
    await this.#ops.store(v, rings.values, position);
    return { keys: rings.keys, values: rings.values, span: { position, first, window } };
  }

  /** Counts the tokens of a finished chunk. */
  advance(tokens: number): void {
    this.length += tokens;
  }
}
