/** Attention over rings of keys and values. Scores and weights are computed on the way to the context, and kept only for hooks. */
import { ConfigError, EngineError } from "../../errors.ts";
import type { AttentionSpan, Ring, Tensor, Weight } from "../ops.ts";
import { keysOf } from "../reference/attention.ts";
import type { Arena } from "./arena.ts";
import { attentionJob, attentionScratch, callJob } from "./jobs.ts";
import { isLazy, type LazyTensor, type SimdRing, type SimdTensor, type SimdVector } from "./tensor.ts";
import type { Workspace } from "./workspace.ts";

export class Attention {
  readonly #ws: Workspace;
  readonly #kvCache: "f32" | "bf16";
  readonly #rings = new Set<SimdRing>();

  constructor(workspace: Workspace, kvCache: "f32" | "bf16") {
    this.#ws = workspace;
    this.#kvCache = kvCache;
  }

  async createRing(capacity: number, kvHeads: number, headDim: number): Promise<Ring> {
    if (headDim % 8 !== 0) {
      throw new ConfigError("the SIMD engine needs heads of a multiple of 8", {
        expected: "head_dim divisible by 8",
        found: headDim,
        hint: "The reference dialects f32 and f64 take it.",
      });
    }
    const bf16 = this.#kvCache === "bf16";
    const rounded = Math.ceil(capacity / 32) * 32;
    const bytes = rounded * kvHeads * headDim * (bf16 ? 2 : 4);
    const piece = await this.#ws.arenas.allocate(2 * bytes);
    const ring = {
      capacity: rounded,
      kvHeads,
      headDim,
      piece,
      bytes: piece.bytes,
      keys: piece.at,
      values: piece.at + bytes,
      bf16,
    };
    this.#rings.add(ring);
    return ring;
  }

  async copyRing(ring: Ring, capacity: number, first: number, end: number): Promise<Ring> {
    const from = ring as SimdRing;
    const to = (await this.createRing(capacity, from.kvHeads, from.headDim)) as SimdRing;
    const kernel = from.bf16 ? "resize_bf16" : "resize_f32";
    let [keys, values] = [from.keys, from.values];
    const { arena } = to.piece;
    let moved: number | undefined;
    if (from.piece.arena !== arena) {
      moved = arena.tryAllocate(from.piece.bytes);
      if (moved === undefined) throw new EngineError("no room to move the KV cache");
      new Uint8Array(arena.buffer).set(
        new Uint8Array(from.piece.arena.buffer, from.piece.at, from.piece.bytes),
        moved,
      );
      [keys, values] = [moved, moved + from.values - from.keys];
    }
    const rest = [from.capacity, to.capacity, first, end, from.kvHeads, from.headDim];
    this.#ws.pool.run([
      callJob(arena.id, kernel, keys, to.keys, ...rest, 1),
      callJob(arena.id, kernel, values, to.values, ...rest, 0),
    ]);
    if (moved !== undefined) arena.free(moved, from.piece.bytes);
    return to;
  }

  freeRing(ring: Ring): void {
    const { piece } = ring as SimdRing;
    if (this.#rings.delete(ring as SimdRing)) piece.arena.free(piece.at, piece.bytes);
  }

  store(k: Tensor, v: Tensor, spans: readonly AttentionSpan[]): void {
    const [T, kvHeads, headDim] = k.shape as [number, number, number];
    const size = kvHeads * headDim;
    const floats = T * size;
    // all rows go over to the rings' memories first
    const there = new Map<Arena, number>();
    for (const arena of new Set(spans.map(({ ring }) => (ring as SimdRing).piece.arena))) {
      const at = arena.scratch(2 * floats * 4);
      const copy = new Float32Array(arena.buffer, at, 2 * floats);
      copy.set(this.#ws.floats(this.#ws.addressOf(k), floats));
      copy.set(this.#ws.floats(this.#ws.addressOf(v), floats), floats);
      there.set(arena, at);
    }
    const jobs: number[][] = [];
    for (const { ring, tokens, position } of spans) {
      const { piece, keys, values, capacity, bf16 } = ring as SimdRing;
      const kernel = bf16 ? "store_bf16" : "store_f32";
      for (let t = 0; t < tokens; t++) {
        const from = there.get(piece.arena)! + jobs.length * size * 4;
        const slot = (position + t) % capacity;
        const to = [keys, values, capacity, slot] as const;
        jobs.push(callJob(piece.arena.id, kernel, from, from + floats * 4, ...to, kvHeads, headDim));
      }
    }
    this.#ws.run(jobs, 2 * floats);
  }

  scores(q: Tensor, spans: readonly AttentionSpan[], scale: number): Tensor {
    const [T, heads] = q.shape as [number, number];
    const shape = [heads, T, Math.max(...spans.map(keysOf))];
    return { kind: "scores", shape, q: q as SimdTensor, spans, scale } as LazyTensor;
  }

  softmax(scores: Tensor, sinks: Weight, spans: readonly AttentionSpan[]): { weights: Tensor; sink: Tensor } {
    const [heads, T] = scores.shape as [number, number];
    if (!isLazy(scores)) return this.#softmaxOfGiven(scores as SimdTensor, sinks as SimdVector, only(spans));
    const common = { ...scores, sinks: sinks as SimdVector };
    return {
      weights: { ...common, kind: "weights" } as LazyTensor,
      sink: { ...common, kind: "sink", shape: [heads, T] } as LazyTensor,
    };
  }

  /** Scores that a hook has replaced: whatever they are, they are taken as they stand. */
  #softmaxOfGiven(
    scores: SimdTensor,
    sinks: SimdVector,
    span: AttentionSpan,
  ): { weights: Tensor; sink: Tensor } {
    const [heads, T, n] = scores.shape as [number, number, number];
    const weights = this.#ws.create(scores.shape);
    const sink = this.#ws.create([heads, T]);
    const offset = span.first & 7; // lanes go by absolute position
    const padded = (offset + n + 7) & ~7;
    const row = this.#ws.activations.allocate(padded * 4);
    for (let i = 0; i < heads * T; i++) {
      this.#ws.floats(row, padded).set(this.#ws.floats(this.#ws.addressOf(scores) + i * n * 4, n), offset);
      const logit = this.#ws.floats(sinks.at, heads)[Math.floor(i / T)]!;
      const end = span.position + (i % T) + 1 - span.first;
      const low = Math.max(0, end - span.window);
      this.#ws.pool.runHere([
        callJob(0, "sink_softmax", row, padded, low + offset, end + offset, logit, sink.at + i * 4),
      ]);
      // what isn't visible weighs nothing, also where the row's sum is NaN
      const visible = this.#ws.floats(row + (offset + low) * 4, end - low);
      this.#ws
        .floats(weights.at + i * n * 4, n)
        .fill(0)
        .set(visible, low);
    }
    return { weights, sink };
  }

  async context(weights: Tensor, spans: readonly AttentionSpan[]): Promise<Tensor> {
    await this.#ws.breathe();
    const [heads, T] = weights.shape as [number, number];
    const { headDim } = spans[0]!.ring as SimdRing;
    const context = this.#ws.create([T, heads * headDim]);
    if (isLazy(weights)) this.#attend(weights, { context });
    else {
      const q = context; // not read
      const given = weights as SimdTensor;
      const span = only(spans);
      this.#attend({ kind: "weights", shape: weights.shape, q, spans: [span], scale: 0 }, { context, given });
    }
    return context;
  }

  /** Computes what somebody wants to see after all. */
  read(x: LazyTensor): SimdTensor {
    only(x.spans);
    const tensor = this.#ws.create(x.shape);
    this.#attend(x, { [x.kind]: tensor });
    return tensor;
  }

  /** Runs attention for whatever results are wanted. */
  #attend(
    { shape, q, spans, scale, sinks }: LazyTensor,
    wanted: {
      scores?: SimdTensor;
      weights?: SimdTensor;
      sink?: SimdTensor;
      context?: SimdTensor;
      given?: SimdTensor;
    },
  ): void {
    const [heads, T] = shape as [number, number];
    const keysSeen = (span: AttentionSpan): number => Math.min(keysOf(span), span.window + 8);
    // all areas ahead of all jobs: one that grew after a job was made could lie across that job's
    for (const span of spans) {
      const { piece, kvHeads, headDim } = span.ring as SimdRing;
      piece.arena.scratch(attentionScratch(heads / kvHeads, headDim, keysSeen(span)));
    }
    const step = Math.max(1, Math.ceil(T / 16));
    const jobs: number[][] = [];
    let row = 0;
    let work = 0;
    for (const span of spans) {
      const { ring, tokens, position, first, window } = span;
      const { kvHeads, headDim, piece, keys, values, bf16, capacity } = ring as SimdRing;
      const { arena } = piece;
      const offset = row * heads * headDim * 4;
      for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
        for (let firstToken = 0; firstToken < tokens; firstToken += step) {
          jobs.push(
            attentionJob({
              arena: arena.id,
              keys,
              values,
              bf16,
              capacity,
              headDim,
              group: heads / kvHeads,
              kvHead,
              heads,
              firstToken,
              endToken: Math.min(tokens, firstToken + step),
              T: tokens,
              position,
              first,
              window,
              scale,
              q: this.#ws.addressOf(q) + offset,
              sinks: sinks?.at ?? 0,
              givenWeights: wanted.given ? this.#ws.addressOf(wanted.given) : 0,
              scoresOut: wanted.scores?.at ?? 0,
              weightsOut: wanted.weights?.at ?? 0,
              sinkOut: wanted.sink?.at ?? 0,
              contextOut: wanted.context ? wanted.context.at + offset : 0,
              scratch: arena.scratch(0),
              scratchBytes: arena.scratchBytes,
            }),
          );
        }
      }
      row += tokens;
      work += (tokens * keysSeen(span) * heads * headDim) / 8;
    }
    this.#ws.run(jobs, work);
  }
}

/** What only one sequence can have: values that a hook sees or brings. */
function only(spans: readonly AttentionSpan[]): AttentionSpan {
  if (spans.length === 1) return spans[0]!;
  throw new EngineError("scores of several sequences can't be read or replaced");
}
