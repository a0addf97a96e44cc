import type { ModelWeights } from "../checkpoint/weights.ts";
import type { ModelConfig } from "../config.ts";
import type { Ops, RopeTable, Tensor, Weight } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import { attention } from "./attention.ts";
import { createTap, type Hooks, type Tap } from "./hooks.ts";
import { KvCache } from "./kv-cache.ts";
import { mixtureOfExperts } from "./moe.ts";
import { inverseFrequencies, ropeTable } from "./rope.ts";

/**
 * gpt-oss, the whole of it:
 *
 *     x = embedding[ids]
 *     for each layer:  x = x + attention(norm(x));  x = x + experts(norm(x))
 *     logits = unembedding · norm(x)
 *
 * A pre-norm decoder whose residual stream x runs through unnormalised. The embedding isn't scaled, and the
 * unembedding is a matrix of its own. norm is RMSNorm (arXiv:1910.07467), x / sqrt(mean(x²) + ε) · scale.
 *
 * This code is what runs, in every engine: `ops` (`engine/ops.ts`) does the arithmetic, and decides what to run in
 * parallel and where to round (`numerics/dialects.ts`). Shapes: T is the number of tokens in the chunk.
 */
export class Transformer {
  readonly config: ModelConfig;
  readonly ops: Ops;
  readonly #weights: ModelWeights<Weight>;
  readonly #frequencies: Float64Array;
  #lastPass: Promise<unknown> = Promise.resolve();

  constructor(config: ModelConfig, weights: ModelWeights<Weight>, ops: Ops) {
    this.config = config;
    this.ops = ops;
    this.#weights = weights;
    this.#frequencies = inverseFrequencies(config.rope, config.headDim, ops.dialect.wide);
  }

  /** An empty cache for a sequence of its own. */
  createCache(): KvCache {
    return new KvCache(this.config, this.ops, (work) => this.#inTurn(work));
  }

  /**
   * Runs a chunk of T tokens that follow those in the cache, and adds them to it. Passes run one at a time: one that is
   * asked for while another runs waits for it, so that a hook can't await a pass of its own. The logits are good until
   * the next pass begins.
   *
   * @returns logits [T, vocab], or [1, vocab] of the last token with `lastOnly`
   * @throws UsageError for no ids, or an id without a row in the embedding
   */
  forward(ids: readonly number[], cache: KvCache, options: ForwardOptions = {}): Promise<Tensor> {
    return this.#inTurn(() => this.#forward(ids, cache, options));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#lastPass.then(work);
    this.#lastPass = done.catch(() => {});
    return done;
  }

  async #forward(ids: readonly number[], cache: KvCache, options: ForwardOptions): Promise<Tensor> {
    const { config, ops } = this;
    const weights = this.#weights;
    checkIds(ids, cache.length, config);
    const pass: Pass = {
      config,
      ops,
      cache,
      rope: ropeTable(this.#frequencies, config.rope, cache.length, ids.length, ops.dialect),
      tap: createTap(ops, options.hooks, options.signal),
    };

    let x = await pass.tap("embedding", ops.embed(weights.embedding, ids));
    for (const [layer, { attn, moe }] of weights.layers.entries()) {
      x = await attention(x, layer, attn, pass);
      x = await mixtureOfExperts(x, layer, moe, pass);
    }
    cache.advance(ids.length);
    if (options.lastOnly) x = ops.lastRows(x, ids.length - 1);
    x = await pass.tap("norm", ops.rmsNorm(x, weights.norm, config.rmsNormEps));
    return pass.tap("logits", ops.linear(x, weights.unembedding));
  }
}

export interface ForwardOptions {
  /** Compute logits of the last token only. */
  readonly lastOnly?: boolean;
  readonly hooks?: Hooks;
  /** Checked at each trace point; an aborted pass leaves the cache's length as it was. */
  readonly signal?: AbortSignal;
}

/** What the parts of one forward pass share. */
export interface Pass {
  readonly config: ModelConfig;
  readonly ops: Ops;
  readonly cache: KvCache;
  readonly rope: RopeTable;
  readonly tap: Tap;
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
