import type { WeightRole, WeightSource } from "../../checkpoint/weights.ts";
import { ConfigError, EngineError, UsageError } from "../../errors.ts";
import { DIALECTS, type Dialect } from "../../numerics/dialects.ts";
import type { AttentionSpan, HostTensor, Ops, Ring, RopeTable, Tensor, Weight } from "../ops.ts";
import { dequantize } from "../reference/dequantize.ts";
import { softmax } from "../reference/elementwise.ts";
import { topK } from "../reference/topk.ts";
import { Arenas } from "./arena.ts";
import { ExpertCache } from "./experts.ts";
import { attentionJob, attentionScratch, callJob, matmulJob, matmulScratch } from "./jobs.ts";
import { compileKernels, type KernelName, type SimdVariant } from "./kernels.ts";
import { Layout, loadMatrices, loadTable, type Placed, type SimdMatrix } from "./matrix.ts";
import { Pool } from "./pool.ts";
import {
  Activations,
  isLazy,
  type LazyTensor,
  type Quantised,
  type SimdRing,
  type SimdTensor,
  type SimdVector,
} from "./tensor.ts";

export interface SimdOptions {
  /** Threads that compute, the caller's included. Default: one a processor. */
  readonly threads?: number;
  /** How keys and values are kept. Default f32. */
  readonly kvCache?: "f32" | "bf16";
  /**
   * Bytes of memory that the process should stay within: all weights but the experts are kept, experts as far as there is room,
   * the others are read again when needed. It changes speed, never a bit of the result. Default: all is kept.
   */
  readonly memory?: number;
  /** Kernels to use; default: relaxed SIMD where the JavaScript engine has it. */
  readonly variant?: SimdVariant;
  /** Shared memory, which threads need. Default: where there is. */
  readonly shared?: boolean;
}

/** One matrix of a weight times some tokens: home addresses of the lists of their rows in x and in the result, and of the bias or 0. */
interface Product {
  readonly placed: Placed;
  readonly inputs: number;
  readonly outputs: number;
  readonly count: number;
  readonly bias: number;
}

/** Bytes of weights that make a job worth its while, and tokens that a tile kernel takes at a time. */
const JOB_BYTES = 2 ** 19;
const TILE = 64;
/** Values below which an operation isn't worth waking a thread. */
const SMALL = 2 ** 15;
/** What of a memory budget is left for JavaScript, activations and the KV cache. */
const BESIDE_WEIGHTS = 2 ** 30;
/** How long the engine keeps the event loop waiting, in ms. */
const YIELD_EVERY = 25;

/**
 * Each operation on WebAssembly SIMD kernels and threads, in the dialects `int16` and `int8`, with the same bits as the reference
 * engine's emulation of them, whatever the number of threads and the kind of SIMD.
 *
 * Activations live in one memory, weights and the KV cache in others: a matrix product takes its input there and
 * brings its output back (`jobs.ts`).
 */
export class SimdEngine implements Ops {
  readonly engine = "simd" as const;
  readonly dialect: Dialect;
  readonly #pool: Pool;
  readonly #arenas: Arenas;
  readonly #activations: Activations;
  readonly #kvCache: "f32" | "bf16";
  readonly #rings = new Set<SimdRing>();
  readonly #experts: ExpertCache | undefined;
  #lastYield = performance.now();

  private constructor(
    dialect: Dialect,
    pool: Pool,
    arenas: Arenas,
    { kvCache = "f32", memory }: SimdOptions,
  ) {
    this.dialect = dialect;
    this.#pool = pool;
    this.#arenas = arenas;
    this.#activations = new Activations(arenas);
    this.#kvCache = kvCache;
    if (memory !== undefined) this.#experts = new ExpertCache(arenas, pool, memory - BESIDE_WEIGHTS);
  }

  static async create(dialect: "int16" | "int8" = "int16", options: SimdOptions = {}): Promise<SimdEngine> {
    const shared = options.shared ?? typeof SharedArrayBuffer !== "undefined";
    const threads = options.threads ?? (await processors());
    if (!(Number.isInteger(threads) && threads >= 1 && threads <= 256)) {
      throw new UsageError("threads is out of range", { expected: "1 to 256", found: threads });
    }
    const pool = await Pool.acquire(threads, await compileKernels(shared, options.variant));
    return new SimdEngine(DIALECTS[dialect], pool, await Arenas.create(pool), options);
  }

  /** Threads that compute. */
  get threads(): number {
    return this.#pool.threads;
  }

  /** Whether the kernels use relaxed SIMD. */
  get relaxed(): boolean {
    return this.#pool.kernels.relaxed;
  }

  /** Bytes of experts that a memory budget has made it read since it was loaded. */
  get fetchedBytes(): number {
    return this.#experts?.fetchedBytes ?? 0;
  }

  /** Bytes of all its memories. */
  get memoryBytes(): number {
    return this.#arenas.size;
  }

  async loadWeight(
    source: WeightSource,
    role: WeightRole,
    onBytes?: (bytes: number) => void,
  ): Promise<Weight> {
    const { rows, cols, matrices } = source;
    if (role === "vector") {
      const values = dequantize(await source.readRows(0, 0, rows));
      const at = this.#arenas.allocateAtHome(values.byteLength);
      this.#home(at, values.length).set(values);
      return { rows, cols, at } as SimdVector;
    }
    const layout = new Layout(source.encoding, rows, cols);
    if (role === "embedding") {
      return {
        rows,
        cols,
        layout,
        source,
        placed: [await loadTable(source, this.#arenas, this.#pool, onBytes)],
      } as SimdMatrix;
    }
    if (role === "experts" && this.#experts) return { rows, cols, layout, source, placed: [] } as SimdMatrix;
    const placed: Placed[] = [];
    for (let matrix = 0; matrix < matrices; matrix++) {
      const piece = await this.#arenas.allocate(layout.bytes);
      placed.push({ ...piece, scales: piece.at + layout.scalesAt });
    }
    const placements = placed.map((place, matrix) => ({ matrix, placed: place }));
    await loadMatrices(source, layout, placements, this.#pool, onBytes);
    return { rows, cols, layout, source, placed } as SimdMatrix;
  }

  embed(table: Weight, ids: readonly number[]): Tensor {
    const { source, placed, rows, cols } = table as SimdMatrix;
    const { arena, at, scales, bytes } = placed[0]!;
    const rowBytes = (scales - at) / rows;
    const scaleBytes = bytes / rows - rowBytes;
    this.#activations.turn();
    const out = this.#activations.create([ids.length, cols]);
    const floats = this.#activations.floats(out);
    for (const [t, id] of ids.entries()) {
      const data = new Uint8Array(arena.buffer, at + id * rowBytes, rowBytes);
      const rowScales = new Uint8Array(arena.buffer, scales + id * scaleBytes, scaleBytes);
      floats.set(dequantize({ encoding: source.encoding, rows: 1, cols, data, scales: rowScales }), t * cols);
    }
    return out;
  }

  rmsNorm(x: Tensor, scale: Weight, eps: number): Tensor {
    const from = this.#at(x);
    const out = this.#activations.create(x.shape);
    const n = scale.cols;
    const { at } = scale as SimdVector;
    this.#eachRow(x, n, (row, rows) =>
      callJob(0, "rms_norm", from + row * n * 4, at, out.at + row * n * 4, rows, n, eps),
    );
    return out;
  }

  async linear(x: Tensor, weight: Weight, bias?: Weight): Promise<Tensor> {
    await this.#breathe();
    const matrix = weight as SimdMatrix;
    const T = rowsOf(x.shape);
    const out = this.#activations.create([...x.shape.slice(0, -1), matrix.rows]);
    const list = this.#list(Int32Array.from({ length: T }, (_, t) => t));
    const product = {
      placed: matrix.placed[0]!,
      inputs: list,
      outputs: list,
      count: T,
      bias: bias === undefined ? 0 : (bias as SimdVector).at,
    };
    this.#pool.run(this.#matmul(x as SimdTensor, matrix, [product], out));
    return out;
  }

  /** Jobs of products with matrices of one kind: chunks of a matrix's rows, times tiles of tokens. */
  #matmul(x: SimdTensor, matrix: SimdMatrix, products: readonly Product[], out: SimdTensor): number[][] {
    const { layout } = matrix;
    const { groups, groupRows, groupBytes, scaleBytes, cols, rows } = layout;
    const input = layout.quantised
      ? this.#quantised(x, layout)
      : { at: this.#at(x), rowBytes: cols * 4, scales: 0, rowScaleBytes: 0 };
    const { kernel } = this.#kernelFor(layout);
    const cuts = products.map(({ placed, count }) => {
      const tile = Math.min(TILE, count);
      // enough jobs for the threads to share evenly, but none so small that fetching its input would show
      const tiles = Math.ceil(count / tile);
      const most = Math.max(1, Math.floor((groups * groupBytes * tile) / JOB_BYTES));
      const parts = Math.min(most, groups, Math.ceil((this.#pool.threads * 8) / tiles));
      const step = Math.ceil(groups / Math.max(1, parts));
      // all areas ahead of all jobs: one that grew after a job was made could lie across that job's
      placed.arena.scratch(matmulScratch(tile, input.rowBytes, input.rowScaleBytes, step * groupRows));
      return { tile, step };
    });
    const jobs: number[][] = [];
    for (const [i, { placed, inputs, outputs, count: slots, bias }] of products.entries()) {
      const { arena, at, scales } = placed;
      const { tile, step } = cuts[i]!;
      for (let first = 0; first < slots; first += tile) {
        for (let group = 0; group < groups; group += step) {
          const count = Math.min(step, groups - group);
          jobs.push(
            matmulJob({
              arena: arena.id,
              weights: at + group * groupBytes,
              scales: scales + group * scaleBytes,
              kernel,
              groups: count,
              groupRows,
              firstRow: group * groupRows,
              rows: Math.min(count * groupRows, rows - group * groupRows),
              inner: layout.quantised ? cols / 32 : cols,
              inputs: input.at,
              inputBytes: input.rowBytes,
              inputScales: input.scales,
              scaleBytes: input.rowScaleBytes,
              tokens: Math.min(tile, slots - first),
              inputList: inputs + first * 4,
              outputList: outputs + first * 4,
              outputs: out.at,
              outputBytes: matrix.rows * 4,
              bias,
              scratch: arena.scratch(0),
              scratchBytes: arena.scratchBytes,
            }),
          );
        }
      }
    }
    return jobs;
  }

  /** Which kernel multiplies such a matrix, and the form of activations that it wants (`assembly/quantize.ts`). */
  #kernelFor({ encoding }: Layout): { kernel: KernelName; form: number; offset: number; factor: number } {
    switch (encoding) {
      case "f32":
      case "bf16":
        return { kernel: `matmul_${encoding}`, form: 0, offset: 0, factor: 0 };
      case "q8_0":
        return { kernel: "matmul_q8_0_int16", form: 1, offset: 0, factor: 1 };
      case "mxfp4":
        // the doubled FP4 values are halved here; what the offsets undo stands in the kernels
        if (!this.relaxed) return { kernel: "matmul_mxfp4_baseline", form: 1, offset: -3084, factor: 0.5 };
        return this.dialect.activationBits === 8
          ? { kernel: "matmul_mxfp4_int8", form: 0, offset: -12, factor: 0.5 }
          : { kernel: "matmul_mxfp4_int16", form: 2, offset: -12, factor: 0.5 };
    }
  }

  #quantised(x: SimdTensor, layout: Layout): Quantised {
    const { form, offset, factor } = this.#kernelFor(layout);
    const key = `${form} ${offset}`;
    const found = x.quantised.get(key);
    if (found) return found;
    const from = this.#at(x);
    const blocks = layout.cols / 32;
    const rows = x.length / layout.cols;
    const rowBytes = blocks * (form === 0 ? 32 : 64);
    const made = {
      at: this.#activations.allocate(rows * rowBytes),
      scales: this.#activations.allocate(rows * blocks * 8),
      rowBytes,
      rowScaleBytes: blocks * 8,
    };
    const limit = this.dialect.activationBits === 8 ? 127 : 32639;
    this.#eachRow(x, layout.cols, (row, count) =>
      callJob(
        0,
        "quantize",
        from + row * layout.cols * 4,
        count * blocks,
        limit,
        form,
        offset,
        factor,
        made.at + row * rowBytes,
        made.scales + row * blocks * 8,
      ),
    );
    x.quantised.set(key, made);
    return made;
  }

  reshape(x: Tensor, shape: readonly number[]): Tensor {
    return { ...(x as SimdTensor), shape };
  }

  rotate(x: Tensor, { cos, sin }: RopeTable): Tensor {
    const [T, heads, headDim] = x.shape as [number, number, number];
    const from = this.#at(x);
    const half = headDim / 2;
    const out = this.#activations.create(x.shape);
    const table = this.#activations.create([2, T, half]);
    const floats = this.#activations.floats(table);
    floats.set(cos);
    floats.set(sin, T * half);
    const size = heads * headDim * 4;
    this.#run(
      x.shape,
      Array.from({ length: T }, (_, t) => {
        const angles = table.at + t * half * 4;
        return callJob(
          0,
          "rotate",
          from + t * size,
          angles,
          angles + T * half * 4,
          out.at + t * size,
          heads,
          half,
        );
      }),
    );
    return out;
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
    const piece = await this.#arenas.allocate(2 * bytes);
    const ring = {
      capacity: rounded,
      kvHeads,
      headDim,
      piece,
      keys: piece.at,
      values: piece.at + bytes,
      bf16,
    };
    this.#rings.add(ring);
    return ring;
  }

  async resizeRing(ring: Ring, capacity: number, first: number, end: number): Promise<Ring> {
    const old = ring as SimdRing;
    const larger = (await this.createRing(capacity, old.kvHeads, old.headDim)) as SimdRing;
    const kernel = old.bf16 ? "resize_bf16" : "resize_f32";
    let [keys, values] = [old.keys, old.values];
    const { arena } = larger.piece;
    let copy: number | undefined;
    if (old.piece.arena !== arena) {
      copy = arena.tryAllocate(old.piece.bytes);
      if (copy === undefined) throw new EngineError("no room to move the KV cache");
      new Uint8Array(arena.buffer).set(
        new Uint8Array(old.piece.arena.buffer, old.piece.at, old.piece.bytes),
        copy,
      );
      [keys, values] = [copy, copy + old.values - old.keys];
    }
    const rest = [old.capacity, larger.capacity, first, end, old.kvHeads, old.headDim];
    this.#pool.run([
      callJob(arena.id, kernel, keys, larger.keys, ...rest, 1),
      callJob(arena.id, kernel, values, larger.values, ...rest, 0),
    ]);
    if (copy !== undefined) arena.free(copy, old.piece.bytes);
    this.freeRing(old);
    return larger;
  }

  freeRing(ring: Ring): void {
    const { piece } = ring as SimdRing;
    if (this.#rings.delete(ring as SimdRing)) piece.arena.free(piece.at, piece.bytes);
  }

  store(k: Tensor, v: Tensor, ring: Ring, position: number): void {
    const { piece, keys, values, capacity, kvHeads, headDim, bf16 } = ring as SimdRing;
    const size = kvHeads * headDim;
    const T = k.shape[0]!;
    const { arena } = piece;
    // both rows go over to the ring's memory first
    const floats = T * size;
    const at = arena.scratch(2 * floats * 4);
    const there = new Float32Array(arena.buffer, at, 2 * floats);
    there.set(this.#home(this.#at(k), floats));
    there.set(this.#home(this.#at(v), floats), floats);
    const jobs = Array.from({ length: T }, (_, t) => {
      const slot = (position + t) % capacity;
      const from = at + t * size * 4;
      return callJob(
        arena.id,
        bf16 ? "store_bf16" : "store_f32",
        from,
        from + floats * 4,
        keys,
        values,
        capacity,
        slot,
        kvHeads,
        headDim,
      );
    });
    this.#run(k.shape, jobs);
  }

  attentionScores(q: Tensor, ring: Ring, span: AttentionSpan, scale: number): Tensor {
    const [T, heads] = q.shape as [number, number];
    const shape = [heads, T, span.position + T - span.first];
    return { kind: "scores", shape, q: q as SimdTensor, ring: ring as SimdRing, span, scale } as LazyTensor;
  }

  sinkSoftmax(scores: Tensor, sinks: Weight, span: AttentionSpan): { weights: Tensor; sink: Tensor } {
    const [heads, T] = scores.shape as [number, number];
    if (!isLazy(scores)) return this.#softmaxOfGiven(scores as SimdTensor, sinks as SimdVector, span);
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
    const weights = this.#activations.create(scores.shape);
    const sink = this.#activations.create([heads, T]);
    const offset = span.first & 7; // lanes go by absolute position
    const padded = (offset + n + 7) & ~7;
    const row = this.#activations.allocate(padded * 4);
    for (let i = 0; i < heads * T; i++) {
      this.#home(row, padded).set(this.#home(this.#at(scores) + i * n * 4, n), offset);
      const logit = this.#home(sinks.at, heads)[Math.floor(i / T)]!;
      const end = span.position + (i % T) + 1 - span.first;
      const low = Math.max(0, end - span.window);
      this.#pool.runHere([
        callJob(0, "sink_softmax", row, padded, low + offset, end + offset, logit, sink.at + i * 4),
      ]);
      // what isn't visible weighs nothing, also where the row's sum is NaN
      const visible = this.#home(row + (offset + low) * 4, end - low);
      this.#home(weights.at + i * n * 4, n)
        .fill(0)
        .set(visible, low);
    }
    return { weights, sink };
  }

  async attentionContext(weights: Tensor, ring: Ring, span: AttentionSpan): Promise<Tensor> {
    await this.#breathe();
    const [heads, T] = weights.shape as [number, number];
    const { headDim } = ring as SimdRing;
    const context = this.#activations.create([T, heads * headDim]);
    if (isLazy(weights)) this.#attend(weights, { context });
    else {
      const q = context; // not read
      const given = weights as SimdTensor;
      this.#attend(
        { kind: "weights", shape: weights.shape, q, ring: ring as SimdRing, span, scale: 0 },
        { context, given },
      );
    }
    return context;
  }

  /** Runs attention for whatever results are wanted. */
  #attend(
    { shape, q, ring, span, scale, sinks }: LazyTensor,
    wanted: {
      scores?: SimdTensor;
      weights?: SimdTensor;
      sink?: SimdTensor;
      context?: SimdTensor;
      given?: SimdTensor;
    },
  ): void {
    const [heads, T] = shape as [number, number];
    const { kvHeads, headDim, piece, keys, values, bf16, capacity } = ring;
    const { arena } = piece;
    const group = heads / kvHeads;
    const allKeys = span.position + T - span.first;
    const scratch = arena.scratch(attentionScratch(group, headDim, Math.min(allKeys, span.window + 8)));
    const step = Math.max(1, Math.ceil(T / 16));
    const jobs: number[][] = [];
    for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
      for (let firstToken = 0; firstToken < T; firstToken += step) {
        jobs.push(
          attentionJob({
            arena: arena.id,
            keys,
            values,
            bf16,
            capacity,
            headDim,
            group,
            kvHead,
            heads,
            firstToken,
            endToken: Math.min(T, firstToken + step),
            T,
            ...span,
            scale,
            q: this.#at(q),
            sinks: sinks?.at ?? 0,
            givenWeights: wanted.given ? this.#at(wanted.given) : 0,
            scoresOut: wanted.scores?.at ?? 0,
            weightsOut: wanted.weights?.at ?? 0,
            sinkOut: wanted.sink?.at ?? 0,
            contextOut: wanted.context?.at ?? 0,
            scratch,
            scratchBytes: arena.scratchBytes,
          }),
        );
      }
    }
    if (T * Math.min(allKeys, span.window) * heads * headDim < SMALL * 8) this.#pool.runHere(jobs);
    else this.#pool.run(jobs);
  }

  add(x: Tensor, y: Tensor): Tensor {
    const [a, b] = [this.#at(x), this.#at(y)];
    this.#activations.turn();
    const out = this.#activations.create(x.shape);
    this.#eachRow(x, 1, (first, count) =>
      callJob(0, "add", a + first * 4, b + first * 4, out.at + first * 4, count),
    );
    return out;
  }

  topK(x: Tensor, k: number): Tensor {
    const n = x.shape.at(-1)!;
    const values = Float64Array.from(this.#activations.floats(x as SimdTensor));
    const T = x.shape[0]!;
    const rows = Array.from({ length: T }, (_, t) => topK(values.subarray(t * n, (t + 1) * n), k));
    return this.#ids([T, k], Int32Array.from(rows.flat()));
  }

  #ids(shape: readonly number[], ids: Int32Array): SimdTensor {
    return this.#activations.create(shape, ids);
  }

  gather(x: Tensor, ids: Tensor): Tensor {
    const n = x.shape.at(-1)!;
    const k = ids.shape.at(-1)!;
    const chosen = (ids as SimdTensor).ids!;
    const bad = chosen.find((id) => id < 0 || id >= n);
    if (bad !== undefined) throw new UsageError("no such expert", { expected: `0 to ${n - 1}`, found: bad });
    const out = this.#activations.create(ids.shape); // first of all: a memory that grows takes views along
    const values = this.#activations.floats(x as SimdTensor);
    const floats = this.#activations.floats(out);
    for (const [slot, id] of chosen.entries()) floats[slot] = values[Math.floor(slot / k) * n + id]!;
    return out;
  }

  softmax(x: Tensor): Tensor {
    const values = Float64Array.from(this.#activations.floats(x as SimdTensor));
    const out = this.#activations.create(x.shape);
    this.#activations.floats(out).set(softmax(values, x.shape.at(-1)!, this.dialect));
    return out;
  }

  prefetchExperts(ids: Tensor, weights: readonly Weight[]): void {
    this.#experts?.prefetch(weights as readonly SimdMatrix[], [...new Set((ids as SimdTensor).ids!)]);
  }

  async expertLinear(x: Tensor, ids: Tensor, weight: Weight, bias: Weight): Promise<Tensor> {
    await this.#breathe();
    const matrix = weight as SimdMatrix;
    const [T, k] = ids.shape as [number, number];
    const experts = (ids as SimdTensor).ids!;
    const perToken = rowsOf(x.shape) / T;
    const out = this.#activations.create([T, k, matrix.rows]);
    const slotsOf = new Map<number, number[]>();
    for (const [slot, expert] of experts.entries()) {
      const slots = slotsOf.get(expert);
      if (slots) slots.push(slot);
      else slotsOf.set(expert, [slot]);
    }
    const chosen = [...slotsOf.keys()];
    const groups = this.#experts ? this.#experts.inMemory(matrix, chosen) : [chosen];
    for await (const group of groups) {
      const products = group.map((expert): Product => {
        const slots = slotsOf.get(expert)!;
        const outputs = this.#list(Int32Array.from(slots));
        const inputs =
          perToken === 1 ? this.#list(Int32Array.from(slots, (slot) => Math.floor(slot / k))) : outputs;
        return {
          placed: matrix.placed[expert]!,
          inputs,
          outputs,
          count: slots.length,
          bias: (bias as SimdVector).at + expert * matrix.rows * 4,
        };
      });
      this.#pool.run(this.#matmul(x as SimdTensor, matrix, products, out));
    }
    return out;
  }

  swiglu(gateUp: Tensor, alpha: number, limit: number): Tensor {
    const from = this.#at(gateUp);
    const n = gateUp.shape.at(-1)! / 2;
    const out = this.#activations.create([...gateUp.shape.slice(0, -1), n]);
    const scratch = this.#activations.allocate(64 * this.threads * 4);
    this.#eachRow(gateUp, 2 * n, (row, rows, part) =>
      callJob(
        0,
        "swiglu",
        from + row * n * 8,
        out.at + row * n * 4,
        rows * n,
        alpha,
        limit,
        scratch + part * 64,
      ),
    );
    return out;
  }

  weightedSum(x: Tensor, weights: Tensor): Tensor {
    const [T, k, n] = x.shape as [number, number, number];
    const [from, w] = [this.#at(x), this.#at(weights)];
    const out = this.#activations.create([T, n]);
    this.#run(
      x.shape,
      Array.from({ length: T }, (_, t) =>
        callJob(0, "weighted_sum", from + t * k * n * 4, w + t * k * 4, out.at + t * n * 4, k, n),
      ),
    );
    return out;
  }

  lastRows(x: Tensor, first: number): Tensor {
    const tensor = x as SimdTensor;
    const T = x.shape[0]!;
    const width = tensor.length / T;
    return {
      ...tensor,
      shape: [T - first, ...x.shape.slice(1)],
      at: tensor.at + first * width * 4,
      length: (T - first) * width,
      quantised: new Map(),
    } as SimdTensor;
  }

  read(x: Tensor): HostTensor {
    if (isLazy(x)) {
      const tensor = this.#activations.create(x.shape);
      this.#attend(x, { [x.kind]: tensor });
      return { shape: x.shape, data: Float32Array.from(this.#activations.floats(tensor)) };
    }
    const tensor = x as SimdTensor;
    if (tensor.ids) return { shape: x.shape, data: tensor.ids.slice() };
    return { shape: x.shape, data: Float32Array.from(this.#activations.floats(tensor)) };
  }

  write({ shape, data }: HostTensor): Tensor {
    if (data instanceof Int32Array) return this.#ids(shape, data.slice());
    const out = this.#activations.create(shape);
    this.#activations.floats(out).set(data);
    return out;
  }

  /** Frees its memory; the threads wait for the next engine. */
  async close(): Promise<void> {
    await this.#arenas.close();
    await this.#pool.release();
  }

  #at(x: Tensor): number {
    return this.#activations.addressOf(x as SimdTensor);
  }

  #home(at: number, length: number): Float32Array {
    return new Float32Array(this.#arenas.home.buffer, at, length);
  }

  /** Row numbers where the threads can read them. */
  #list(rows: Int32Array): number {
    const at = this.#activations.allocate(rows.length * 4);
    new Int32Array(this.#arenas.home.buffer, at, rows.length).set(rows);
    return at;
  }

  /** Splits the rows of x, of `width` values each, among the threads. */
  #eachRow(x: Tensor, width: number, job: (first: number, count: number, part: number) => number[]): void {
    const { length } = x as SimdTensor;
    const rows = length / width;
    const parts = length < SMALL ? 1 : this.threads * 2;
    const step = Math.ceil(rows / parts / 4) * 4;
    const jobs: number[][] = [];
    for (let first = 0; first < rows; first += step) {
      jobs.push(job(first, Math.min(step, rows - first), jobs.length));
    }
    if (jobs.length === 1) this.#pool.runHere(jobs);
    else this.#pool.run(jobs);
  }

  #run(shape: readonly number[], jobs: number[][]): void {
    if (shape.reduce((product, n) => product * n, 1) < SMALL) this.#pool.runHere(jobs);
    else this.#pool.run(jobs);
  }

  /** Lets timers, signals and other requests have their turn now and then. */
  async #breathe(): Promise<void> {
    if (performance.now() - this.#lastYield < YIELD_EVERY) return;
    await new Promise<void>((resolve) =>
      typeof setImmediate === "function" ? setImmediate(resolve) : setTimeout(resolve),
    );
    this.#lastYield = performance.now();
  }
}

function rowsOf(shape: readonly number[]): number {
  return shape.slice(0, -1).reduce((product, n) => product * n, 1);
}

async function processors(): Promise<number> {
  if (globalThis.process?.versions?.node !== undefined) {
    return (await import("node:os")).availableParallelism();
  }
  return globalThis.navigator?.hardwareConcurrency ?? 1;
}
