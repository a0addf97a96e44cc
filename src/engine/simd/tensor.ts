/** Activations, in home. */
import { EngineError } from "../../errors.ts";
import type { AttentionSpan, Ring, Tensor, Weight } from "../ops.ts";
import type { Arena, Arenas, Piece } from "./arena.ts";

/** float32 values at an address in home, or int32 ids that the host has too. */
export interface SimdTensor extends Tensor {
  readonly at: number;
  readonly length: number;
  /** Which stretch of the residual stream it belongs to: see {@link Activations}. */
  readonly stretch: number;
  readonly ids?: Int32Array;
  /** The same, quantised; made when first needed. */
  readonly quantised: Map<string, Quantised>;
}

export interface Quantised {
  readonly at: number;
  readonly scales: number;
  readonly rowBytes: number;
  readonly rowScaleBytes: number;
}

/** Scores or weights of attention that nobody has asked to see: the context is computed without them. */
export interface LazyTensor extends Tensor {
  readonly kind: "scores" | "weights" | "sink";
  readonly q: SimdTensor;
  readonly spans: readonly AttentionSpan[];
  readonly scale: number;
  /** From `weights` on. */
  readonly sinks?: SimdVector;
}

export interface SimdRing extends Ring {
  readonly piece: Piece;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly keys: number;
  readonly values: number;
  readonly bf16: boolean;
}

/** A norm's scales, biases or sinks: float32 in home. */
export interface SimdVector extends Weight {
  readonly at: number;
}

export function isLazy(x: Tensor): x is LazyTensor {
  return "kind" in x;
}

/**
 * Memory for activations, which nobody frees. All that survives a half layer is the residual stream, the result of an `add`.
 * So there are two regions: each `add` puts its result into the other one, after emptying that. What
 * lies in the region of the last `add` or the one before is alive, all else is not, and is refused.
 */
export class Activations {
  readonly #arenas: Arenas;
  readonly #regions: [Region, Region];
  #stretch = 0;

  constructor(arenas: Arenas) {
    this.#arenas = arenas;
    this.#regions = [new Region(arenas), new Region(arenas)];
  }

  /** Begins a stretch of the residual stream: what was made ahead of the last one is gone. */
  turn(): void {
    this.#stretch++;
    this.#region.empty();
  }

  get #region(): Region {
    return this.#regions[this.#stretch & 1]!;
  }

  allocate(bytes: number): number {
    return this.#region.allocate(bytes);
  }

  create(shape: readonly number[], ids?: Int32Array): SimdTensor {
    const length = shape.reduce((product, n) => product * n, 1);
    const at = this.allocate(length * 4);
    return {
      shape,
      at,
      length,
      stretch: this.#stretch,
      quantised: new Map(),
      ...(ids && { ids }),
    };
  }

  floats(x: SimdTensor): Float32Array {
    return new Float32Array(this.#arenas.home.buffer, this.addressOf(x), x.length);
  }

  /** @throws EngineError for a tensor whose memory has gone to others */
  addressOf(x: SimdTensor): number {
    if (x.stretch < this.#stretch - 1) {
      throw new EngineError("an activation was used after its memory had gone to others", {
        hint: "One forward pass at a time runs on an engine.",
      });
    }
    return x.at;
  }
}

/** Memory that is handed out from the start to the end, in as many pieces as it takes, and made one piece when emptied. */
class Region {
  readonly #arenas: Arenas;
  readonly #pieces: { at: number; size: number }[] = [];
  #used = 0;

  constructor(arenas: Arenas) {
    this.#arenas = arenas;
  }

  allocate(bytes: number): number {
    const size = Math.ceil(bytes / 64) * 64;
    let last = this.#pieces.at(-1);
    if (last === undefined || this.#used + size > last.size) {
      last = { at: 0, size: Math.max(size, 2 ** 18, last === undefined ? 0 : last.size) };
      last.at = this.#arenas.allocateAtHome(last.size);
      this.#pieces.push(last);
      this.#used = 0;
    }
    const at = last.at + this.#used;
    this.#used += size;
    return at;
  }

  empty(): void {
    this.#used = 0;
    if (this.#pieces.length < 2) return;
    const home: Arena = this.#arenas.home;
    const size = this.#pieces.reduce((sum, piece) => sum + piece.size, 0);
    for (const piece of this.#pieces.splice(0)) home.free(piece.at, piece.size);
    this.#pieces.push({ at: this.#arenas.allocateAtHome(size), size });
  }
}
