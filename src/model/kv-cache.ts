import type { ModelConfig } from "../config.ts";
import type { AttentionSpan, Ops, Ring } from "../engine/ops.ts";
import type { PassQueue } from "./pass-queue.ts";

/**
 * Keys and values of the tokens so far, a ring a layer. Keys are stored as RoPE left them.
 *
 * A sliding layer's ring holds the window and the current chunk, and no more; a full layer's grows. So a sliding layer
 * forgets, and the cache can't simply be cut back to an earlier position: {@link KvCache.checkpoint} keeps copies of the
 * windows that {@link KvCache.rewind} returns to.
 */
export class KvCache implements Disposable {
  /** Number of tokens held, which is the position of the next one. */
  length = 0;
  /** Whether it has been let go of. */
  disposed = false;
  readonly #config: ModelConfig;
  readonly #ops: Ops;
  readonly #queue: PassQueue;
  readonly #rings: Ring[] = [];
  /** For each layer the first position that its ring still has. */
  readonly #oldest: number[] = [];
  /** By position, ascending. */
  #checkpoints: Checkpoint[] = [];

  /** @param queue runs work on the rings when no forward pass is under way */
  constructor(config: ModelConfig, ops: Ops, queue: PassQueue) {
    this.#config = config;
    this.#ops = ops;
    this.#queue = queue;
  }

  /** Keys that a query on this layer sees, itself included. */
  window(layer: number): number {
    return this.#config.layerTypes[layer] === "sliding"
      ? this.#config.slidingWindow
      : Number.POSITIVE_INFINITY;
  }

  /** Makes room for the keys and values of a chunk. */
  async reserve(tokens: number): Promise<void> {
    const ops = this.#ops;
    const position = this.length;
    const end = position + tokens;
    for (let layer = 0; layer < this.#config.numLayers; layer++) {
      const first = this.#firstSeen(layer, position);
      const ring = this.#rings[layer];
      if (ring === undefined) {
        const { numKeyValueHeads, headDim } = this.#config;
        this.#setRing(layer, await ops.createRing(end - first, numKeyValueHeads, headDim), first);
      } else if (end - first > ring.capacity) {
        const capacity = this.#isSliding(layer) ? end - first : this.#roomy(end);
        this.#setRing(layer, await ops.copyRing(ring, capacity, first, position), first);
      }
    }
  }

  /**
   * Where a layer's keys and values of the current chunk go, and what its queries attend to. `length` moves on only when
   * the whole forward pass is done ({@link advance}).
   */
  span(layer: number, tokens: number): AttentionSpan {
    const position = this.length;
    const ring = this.#rings[layer]!;
    // a ring that the chunk goes round in loses what is older
    this.#oldest[layer] = Math.max(this.#oldest[layer]!, position + tokens - ring.capacity);
    return { ring, tokens, position, first: this.#firstSeen(layer, position), window: this.window(layer) };
  }

  /** Counts the tokens of a finished chunk. */
  advance(tokens: number): void {
    this.length += tokens;
  }

  /**
   * Makes the current position one that `rewind` can return to, at the price of a copy of each sliding layer's window:
   * 6 MB for gpt-oss-20b in float32. The first and the latest seven are kept.
   */
  checkpoint(): Promise<void> {
    return this.#queue.work(this, async () => {
      const position = this.length;
      if (position === 0 || this.#checkpoints.at(-1)?.position === position) return;
      const rings: Ring[] = [];
      this.#checkpoints.push({ position, rings });
      try {
        for (const layer of this.#slidingLayers()) {
          const capacity = position - this.#firstSeen(layer, position) || 1;
          rings[layer] = await this.#copyOf(this.#rings[layer]!, capacity, layer, position);
        }
      } catch (error) {
        this.#free([this.#checkpoints.pop()!]);
        throw error;
      }
      if (this.#checkpoints.length > MAX_CHECKPOINTS) this.#free(this.#checkpoints.splice(1, 1));
    });
  }

  /** Bytes of memory that its keys and values take, those of its checkpoints included. */
  get bytes(): number {
    const rings = [...this.#rings, ...this.#checkpoints.flatMap((checkpoint) => checkpoint.rings)];
    return rings.reduce((sum, ring) => sum + (ring?.bytes ?? 0), 0);
  }

  /** The latest position up to `to` that the cache can return to. */
  reachable(to: number): number {
    const target = Math.max(0, Math.min(Math.trunc(to), this.length));
    return this.#hasWindows(target) ? target : (this.#checkpointUpTo(target)?.position ?? 0);
  }

  /**
   * Forgets the tokens from position `to` on, or from the latest position ahead of it whose windows are still there
   * ({@link reachable}). What is computed from there has the bits that it would have had anyway.
   *
   * @returns the length now, at most `to`
   */
  rewind(to: number): Promise<number> {
    return this.#queue.work(this, async () => {
      const position = this.reachable(to);
      const saved = this.#hasWindows(position) ? undefined : this.#checkpointUpTo(position);
      for (const layer of saved ? this.#slidingLayers() : []) {
        const ring = await this.#copyOf(saved!.rings[layer]!, this.#rings[layer]!.capacity, layer, position);
        this.#setRing(layer, ring, this.#firstSeen(layer, position));
      }
      // there is nothing ahead of position 0 to restore
      if (position === 0) for (const layer of this.#slidingLayers()) this.#oldest[layer] = 0;
      this.#free(this.#checkpoints.filter((checkpoint) => checkpoint.position > position));
      this.#checkpoints = this.#checkpoints.filter((checkpoint) => checkpoint.position <= position);
      this.length = position;
      return position;
    });
  }

  /**
   * A cache of its own that begins like this one, up to position `to` or the latest ahead of it that can be returned to. The
   * checkpoints stay here.
   *
   * @throws what engines throw without memory
   */
  fork(to: number = this.length): Promise<KvCache> {
    return this.#queue.work(this, async () => {
      const position = this.reachable(to);
      const fork = new KvCache(this.#config, this.#ops, this.#queue);
      if (position === 0) return fork;
      const saved = this.#hasWindows(position) ? undefined : this.#checkpointUpTo(position);
      try {
        for (const [layer, ring] of this.#rings.entries()) {
          const sliding = this.#isSliding(layer);
          const from = sliding ? (saved?.rings[layer] ?? ring) : ring;
          const capacity = sliding ? this.window(layer) : this.#roomy(position + 1);
          fork.#setRing(
            layer,
            await this.#copyOf(from, capacity, layer, position),
            this.#firstSeen(layer, position),
          );
        }
      } catch (error) {
        fork[Symbol.dispose]();
        throw error;
      }
      fork.length = position;
      return fork;
    });
  }

  /** Lets go of its memory, as engines want that hold it outside the JavaScript heap; once a pass under way is over. */
  [Symbol.dispose](): void {
    if (this.#queue.has(this)) void this.#queue.work(this, async () => this.#clear());
    else this.#clear();
    this.disposed = true;
  }

  #clear(): void {
    for (const ring of this.#rings.splice(0)) this.#ops.freeRing(ring);
    this.#free(this.#checkpoints.splice(0));
    this.length = 0;
  }

  /** The oldest key that a query at this position sees. */
  #firstSeen(layer: number, position: number): number {
    return Math.max(0, position - this.window(layer) + 1);
  }

  #isSliding(layer: number): boolean {
    return this.window(layer) !== Number.POSITIVE_INFINITY;
  }

  /** Of those that hold anything yet. */
  #slidingLayers(): number[] {
    return [...this.#rings.keys()].filter((layer) => this.#isSliding(layer));
  }

  /** Capacity of a full layer that is to hold so many tokens: it grows by half, so that copying is rare. */
  #roomy(tokens: number): number {
    return Math.max(tokens, Math.min(Math.ceil(tokens * 1.5), this.#config.maxContextLength));
  }

  /** Whether the rings still have all that a query at this position sees. */
  #hasWindows(position: number): boolean {
    return this.#slidingLayers().every(
      (layer) => position === 0 || this.#oldest[layer]! <= this.#firstSeen(layer, position),
    );
  }

  #checkpointUpTo(position: number): Checkpoint | undefined {
    return this.#checkpoints.findLast((checkpoint) => checkpoint.position <= position);
  }

  /** Another ring with the part of a ring that a query at this position sees. */
  async #copyOf(ring: Ring, capacity: number, layer: number, position: number): Promise<Ring> {
    return this.#ops.copyRing(ring, capacity, this.#firstSeen(layer, position), position);
  }

  #setRing(layer: number, ring: Ring, oldest: number): void {
    const old = this.#rings[layer];
    if (old) this.#ops.freeRing(old);
    this.#rings[layer] = ring;
    this.#oldest[layer] = oldest;
  }

  #free(checkpoints: readonly Checkpoint[]): void {
    for (const { rings } of checkpoints) for (const ring of rings) if (ring) this.#ops.freeRing(ring);
  }
}

const MAX_CHECKPOINTS = 8;

/** The windows of the sliding layers, as they were when `position` tokens were held. */
interface Checkpoint {
  readonly position: number;
  /** By layer; full layers have none, since nothing in them is overwritten. */
  readonly rings: readonly (Ring | undefined)[];
}
