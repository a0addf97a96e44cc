import type { ModelWeights } from "../checkpoint/weights.ts";
import type { ModelConfig } from "../config.ts";
import type { HostTensor, Ops, RopeTable, Tensor, Weight } from "../engine/ops.ts";
import { attention } from "./attention.ts";
import { Batch } from "./batch.ts";
import { createTap, type Hooks, type Tap } from "./hooks.ts";
import { KvCache } from "./kv-cache.ts";
import { mixtureOfExperts } from "./moe.ts";
import { PassQueue, type PassRequest } from "./pass-queue.ts";
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
 * parallel and where to round (`numerics/dialects.ts`). Shapes: T is the number of tokens in the pass, of one sequence or several
 * (`batch.ts`).
 */
export class Transformer {
  readonly config: ModelConfig;
  readonly ops: Ops;
  readonly #weights: ModelWeights<Weight>;
  readonly #frequencies: Float64Array;
  readonly #queue = new PassQueue((requests) => this.#compute(requests));

  constructor(config: ModelConfig, weights: ModelWeights<Weight>, ops: Ops) {
    this.config = config;
    this.ops = ops;
    this.#weights = weights;
    this.#frequencies = inverseFrequencies(config.rope, config.headDim, ops.dialect.wide);
  }

  /** An empty cache for a sequence of its own. */
  createCache(): KvCache {
    return new KvCache(this.config, this.ops, this.#queue);
  }

  /**
   * Runs a chunk of T tokens that follow those in the cache, and adds them to it. Sequences that wait at the same time share
   * a pass (`pass-queue.ts`), with the bits that each would have alone. A hook can't await a pass of its own. The logits are
   * good until the next pass begins, which isn't before everyone who shared this one had a chance to read them.
   *
   * @returns logits [T, vocab], or [1, vocab] of the last token with `lastOnly`
   * @throws UsageError for no ids, or an id without a row in the embedding
   */
  forward(ids: readonly number[], cache: KvCache, options: ForwardOptions = {}): Promise<Tensor> {
    return this.#queue.pass(ids, cache, options);
  }

  /**
   * Logits of a residual stream [T, hidden], as if it were the last layer's: its norm times the unembedding (the logit lens).
   * Waits until no pass is under way.
   */
  async unembed(residual: HostTensor): Promise<HostTensor> {
    const { ops } = this;
    using cache = this.createCache();
    const compute = async (): Promise<HostTensor> =>
      ops.read(await this.#unembed(ops.write(residual), createTap(ops)));
    return await this.#queue.work(cache, compute);
  }

  /** How many tokens of a prompt a pass should take: fewer while others would have to wait for it. */
  chunkSize(cache: KvCache): number {
    return this.#queue.isShared(cache) ? 128 : 512;
  }

  async #compute(requests: readonly PassRequest[]): Promise<void> {
    const batch = await Batch.of(requests, this.config);
    if (batch.isEmpty) return;
    try {
      batch.resolve(await this.#forward(batch), this.ops);
    } catch (error) {
      batch.reject(error);
    }
  }

  async #forward(batch: Batch): Promise<Tensor> {
    const { config, ops } = this;
    const weights = this.#weights;
    const rope = (): RopeTable => ropeTable(this.#frequencies, config.rope, batch.positions, ops.dialect);
    const tap = createTap(ops, batch.hooks, () => batch.throwIfAborted());
    let pass: Pass = { config, ops, batch, rope: rope(), tap };

    let x = await tap("embedding", ops.embed(weights.embedding, batch.ids));
    for (const [layer, { attn, moe }] of weights.layers.entries()) {
      const rows = batch.dropAborted();
      if (rows) [x, pass] = [ops.rows(x, rows), { ...pass, rope: rope() }];
      x = await attention(x, layer, attn, pass);
      x = await mixtureOfExperts(x, layer, moe, pass);
    }
    return this.#unembed(ops.rows(x, batch.logitRows()), tap);
  }

  async #unembed(x: Tensor, tap: Tap): Promise<Tensor> {
    const { norm, unembedding } = this.#weights;
    const t = await tap("norm", this.ops.rmsNorm(x, norm, this.config.rmsNormEps));
    return tap("logits", this.ops.linear(t, unembedding));
  }
}

export interface ForwardOptions {
  /** Compute logits of the last token only. */
  readonly lastOnly?: boolean;
  readonly hooks?: Hooks;
  /** Checked at each trace point; an aborted pass leaves the cache's length as it was. */
  readonly signal?: AbortSignal;
}

/** What the parts of a forward pass share. */
export interface Pass {
  readonly config: ModelConfig;
  readonly ops: Ops;
  readonly batch: Batch;
  readonly rope: RopeTable;
  readonly tap: Tap;
}
