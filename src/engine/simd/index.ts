import type { WeightRole, WeightSource } from "../../checkpoint/weights.ts";
import { UsageError } from "../../errors.ts";
import { DIALECTS, type Dialect } from "../../numerics/dialects.ts";
import { CHUNK } from "../../numerics/exponentials.ts";
import type {
  AttentionSpan,
  Exponentials,
  HostTensor,
  Ops,
  Ring,
  RopeTable,
  Tensor,
  Weight,
} from "../ops.ts";
import { dequantize } from "../reference/dequantize.ts";
import { softmax } from "../reference/elementwise.ts";
import { topK } from "../reference/topk.ts";
import { Attention } from "./attention.ts";
import { ExpertCache } from "./experts.ts";
import { callJob } from "./jobs.ts";
import { compileKernels, type SimdVariant } from "./kernels.ts";
import { Layout, loadMatrices, loadTable, type Placed, type SimdMatrix } from "./matrix.ts";
import { Pool } from "./pool.ts";
import { type Product, Products } from "./products.ts";
import { isLazy, type SimdTensor, type SimdVector } from "./tensor.ts";
import { Workspace } from "./workspace.ts";

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

/** What of a memory budget is left for JavaScript, activations and the KV cache. */
const BESIDE_WEIGHTS = 2 ** 30;

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
  readonly #ws: Workspace;
  readonly #products: Products;
  readonly #attention: Attention;
  readonly #experts: ExpertCache | undefined;
  #room: { length: number; bytes: number; at: number } | undefined;

  private constructor(dialect: Dialect, workspace: Workspace, { kvCache = "f32", memory }: SimdOptions) {
    this.dialect = dialect;
    this.#ws = workspace;
    this.#products = new Products(workspace, dialect);
    this.#attention = new Attention(workspace, kvCache);
    if (memory !== undefined) this.#experts = new ExpertCache(workspace, memory - BESIDE_WEIGHTS);
  }

  static async create(dialect: "int16" | "int8" = "int16", options: SimdOptions = {}): Promise<SimdEngine> {
    const shared = options.shared ?? typeof SharedArrayBuffer !== "undefined";
    const threads = options.threads ?? (await processors());
    if (!(Number.isInteger(threads) && threads >= 1 && threads <= 256)) {
      throw new UsageError("threads is out of range", { expected: "1 to 256", found: threads });
    }
    const pool = await Pool.acquire(threads, await compileKernels(shared, options.variant));
    return new SimdEngine(DIALECTS[dialect], await Workspace.create(pool), options);
  }

  /** Threads that compute. */
  get threads(): number {
    return this.#ws.pool.threads;
  }

  /** Whether the kernels use relaxed SIMD. */
  get relaxed(): boolean {
    return this.#ws.pool.kernels.relaxed;
  }

  /** Bytes of experts that a memory budget has made it read since it was loaded. */
  get fetchedBytes(): number {
    return this.#experts?.fetchedBytes ?? 0;
  }

  /** Bytes of all its memories. */
  get memoryBytes(): number {
    return this.#ws.arenas.size;
  }

  async loadWeight(
    source: WeightSource,
    role: WeightRole,
    onBytes?: (bytes: number) => void,
  ): Promise<Weight> {
    const { rows, cols, matrices } = source;
    if (role === "vector") {
      const values = dequantize(await source.readRows(0, 0, rows));
      const at = this.#ws.arenas.allocateAtHome(values.byteLength);
      this.#ws.floats(at, values.length).set(values);
      return { rows, cols, at } as SimdVector;
    }
    const layout = new Layout(source.encoding, rows, cols);
    if (role === "embedding") {
      const table = await loadTable(source, this.#ws.arenas, this.#ws.pool, onBytes);
      return { rows, cols, layout, source, placed: [table] } as SimdMatrix;
    }
    if (role === "experts" && this.#experts) return { rows, cols, layout, source, placed: [] } as SimdMatrix;
    const placed: Placed[] = [];
    for (let matrix = 0; matrix < matrices; matrix++) {
      const piece = await this.#ws.arenas.allocate(layout.bytes);
      placed.push({ ...piece, scales: piece.at + layout.scalesAt });
    }
    const placements = placed.map((place, matrix) => ({ matrix, placed: place }));
    await loadMatrices(source, layout, placements, this.#ws.pool, onBytes);
    return { rows, cols, layout, source, placed } as SimdMatrix;
  }

  embed(table: Weight, ids: readonly number[]): Tensor {
    const { source, placed, rows, cols } = table as SimdMatrix;
    const { arena, at, scales, bytes } = placed[0]!;
    const rowBytes = (scales - at) / rows;
    const scaleBytes = bytes / rows - rowBytes;
    this.#ws.activations.turn();
    const out = this.#ws.create([ids.length, cols]);
    const floats = this.#ws.valuesOf(out);
    for (const [t, id] of ids.entries()) {
      const data = new Uint8Array(arena.buffer, at + id * rowBytes, rowBytes);
      const rowScales = new Uint8Array(arena.buffer, scales + id * scaleBytes, scaleBytes);
      floats.set(dequantize({ encoding: source.encoding, rows: 1, cols, data, scales: rowScales }), t * cols);
    }
    return out;
  }

  rmsNorm(x: Tensor, scale: Weight, eps: number): Tensor {
    const from = this.#ws.addressOf(x);
    const out = this.#ws.create(x.shape);
    const n = scale.cols;
    const { at } = scale as SimdVector;
    this.#ws.eachRow(x, n, (row, rows) =>
      callJob(0, "rms_norm", from + row * n * 4, at, out.at + row * n * 4, rows, n, eps),
    );
    return out;
  }

  async linear(x: Tensor, weight: Weight, bias?: Weight): Promise<Tensor> {
    await this.#ws.breathe();
    const matrix = weight as SimdMatrix;
    const T = rowsOf(x.shape);
    const out = this.#ws.create([...x.shape.slice(0, -1), matrix.rows]);
    const list = this.#ws.firstRows(T);
    const product = {
      placed: matrix.placed[0]!,
      inputs: list,
      outputs: list,
      count: T,
      bias: bias === undefined ? 0 : (bias as SimdVector).at,
    };
    this.#products.run(x as SimdTensor, matrix, [product], out);
    return out;
  }

  reshape(x: Tensor, shape: readonly number[]): Tensor {
    return { ...(x as SimdTensor), shape };
  }

  rotate(x: Tensor, { cos, sin }: RopeTable): Tensor {
    const [T, heads, headDim] = x.shape as [number, number, number];
    const from = this.#ws.addressOf(x);
    const half = headDim / 2;
    const out = this.#ws.create(x.shape);
    const table = this.#ws.create([2, T, half]);
    const floats = this.#ws.valuesOf(table);
    floats.set(cos);
    floats.set(sin, T * half);
    const size = heads * headDim * 4;
    const jobs = Array.from({ length: T }, (_, t) => {
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
    });
    this.#ws.run(jobs, (x as SimdTensor).length);
    return out;
  }

  createRing(capacity: number, kvHeads: number, headDim: number): Promise<Ring> {
    return this.#attention.createRing(capacity, kvHeads, headDim);
  }

  copyRing(ring: Ring, capacity: number, first: number, end: number): Promise<Ring> {
    return this.#attention.copyRing(ring, capacity, first, end);
  }

  freeRing(ring: Ring): void {
    this.#attention.freeRing(ring);
  }

  store(k: Tensor, v: Tensor, spans: readonly AttentionSpan[]): void {
    this.#attention.store(k, v, spans);
  }

  attentionScores(q: Tensor, spans: readonly AttentionSpan[], scale: number): Tensor {
    return this.#attention.scores(q, spans, scale);
  }

  sinkSoftmax(
    scores: Tensor,
    sinks: Weight,
    spans: readonly AttentionSpan[],
  ): { weights: Tensor; sink: Tensor } {
    return this.#attention.softmax(scores, sinks, spans);
  }

  attentionContext(weights: Tensor, spans: readonly AttentionSpan[]): Promise<Tensor> {
    return this.#attention.context(weights, spans);
  }

  add(x: Tensor, y: Tensor): Tensor {
    const [a, b] = [this.#ws.addressOf(x), this.#ws.addressOf(y)];
    this.#ws.activations.turn();
    const out = this.#ws.create(x.shape);
    this.#ws.eachRow(x, 1, (first, count) =>
      callJob(0, "add", a + first * 4, b + first * 4, out.at + first * 4, count),
    );
    return out;
  }

  topK(x: Tensor, k: number): Tensor {
    const n = x.shape.at(-1)!;
    const values = new Float64Array(this.#ws.valuesOf(x));
    const T = x.shape[0]!;
    const ids = new Int32Array(T * k);
    for (let t = 0; t < T; t++) ids.set(topK(values.subarray(t * n, (t + 1) * n), k), t * k);
    return this.#ws.create([T, k], ids);
  }

  gather(x: Tensor, ids: Tensor): Tensor {
    const n = x.shape.at(-1)!;
    const k = ids.shape.at(-1)!;
    const chosen = (ids as SimdTensor).ids!;
    const bad = chosen.find((id) => id < 0 || id >= n);
    if (bad !== undefined) throw new UsageError("no such expert", { expected: `0 to ${n - 1}`, found: bad });
    const out = this.#ws.create(ids.shape); // first of all: a memory that grows takes views along
    const values = this.#ws.valuesOf(x as SimdTensor);
    const floats = this.#ws.valuesOf(out);
    for (const [slot, id] of chosen.entries()) floats[slot] = values[Math.floor(slot / k) * n + id]!;
    return out;
  }

  softmax(x: Tensor): Tensor {
    const values = new Float64Array(this.#ws.valuesOf(x));
    const out = this.#ws.create(x.shape);
    this.#ws.valuesOf(out).set(softmax(values, x.shape.at(-1)!, this.dialect));
    return out;
  }

  prefetchExperts(ids: Tensor, weights: readonly Weight[]): void {
    this.#experts?.prefetch(weights as readonly SimdMatrix[], [...new Set((ids as SimdTensor).ids!)]);
  }

  async expertLinear(x: Tensor, ids: Tensor, weight: Weight, bias: Weight): Promise<Tensor> {
    await this.#ws.breathe();
    const matrix = weight as SimdMatrix;
    const [T, k] = ids.shape as [number, number];
    const experts = (ids as SimdTensor).ids!;
    const perToken = rowsOf(x.shape) / T;
    const out = this.#ws.create([T, k, matrix.rows]);
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
        const outputs = this.#ws.list(slots);
        const inputs = perToken === 1 ? this.#ws.list(slots.map((slot) => Math.floor(slot / k))) : outputs;
        return {
          placed: matrix.placed[expert]!,
          inputs,
          outputs,
          count: slots.length,
          bias: (bias as SimdVector).at + expert * matrix.rows * 4,
        };
      });
      this.#products.run(x as SimdTensor, matrix, products, out);
    }
    return out;
  }

  swiglu(gateUp: Tensor, alpha: number, limit: number): Tensor {
    const from = this.#ws.addressOf(gateUp);
    const n = gateUp.shape.at(-1)! / 2;
    const out = this.#ws.create([...gateUp.shape.slice(0, -1), n]);
    const scratch = this.#ws.activations.allocate(64 * this.threads * 4);
    this.#ws.eachRow(gateUp, 2 * n, (row, rows, part) =>
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
    const [from, w] = [this.#ws.addressOf(x), this.#ws.addressOf(weights)];
    const out = this.#ws.create([T, n]);
    const jobs = Array.from({ length: T }, (_, t) =>
      callJob(0, "weighted_sum", from + t * k * n * 4, w + t * k * 4, out.at + t * n * 4, k, n),
    );
    this.#ws.run(jobs, (x as SimdTensor).length);
    return out;
  }

  rows(x: Tensor, rows: readonly number[]): Tensor {
    const tensor = x as SimdTensor;
    const width = tensor.length / x.shape[0]!;
    const [first = 0] = rows;
    const shape = [rows.length, ...x.shape.slice(1)];
    if (rows.every((row, i) => row === first + i)) {
      const at = tensor.at + first * width * 4;
      return { ...tensor, shape, at, length: rows.length * width, quantised: new Map() } as SimdTensor;
    }
    const out = this.#ws.create(shape);
    const [from, to] = [this.#ws.valuesOf(x), this.#ws.valuesOf(out)];
    for (const [i, row] of rows.entries()) to.set(from.subarray(row * width, (row + 1) * width), i * width);
    return out;
  }

  read(x: Tensor): HostTensor {
    if (isLazy(x)) {
      return { shape: x.shape, data: this.#ws.valuesOf(this.#attention.read(x)).slice() };
    }
    const tensor = x as SimdTensor;
    if (tensor.ids) return { shape: x.shape, data: tensor.ids.slice() };
    return { shape: x.shape, data: this.#ws.valuesOf(tensor).slice() };
  }

  exponentials(logits: Tensor, temperature: number): Exponentials {
    const { length } = logits as SimdTensor;
    const from = this.#ws.addressOf(logits);
    const chunks = Math.ceil(length / CHUNK);
    const { at, sums } = this.#roomFor(length, chunks);
    this.#ws.run([callJob(0, "highest", from, length, sums)], length);
    const max = this.#ws.floats(sums, 1)[0]! + 0; // never −0, which the kernel may give for 0
    const jobs = Array.from({ length: chunks }, (_, i) => {
      const first = i * CHUNK;
      const count = Math.min(CHUNK, length - first);
      return callJob(
        0,
        "exponentials",
        from + first * 4,
        count,
        max,
        temperature,
        at + first * 8,
        sums + i * 8,
      );
    });
    this.#ws.run(jobs, length * 8);
    const doubles = (at: number, count: number): Float64Array =>
      new Float64Array(this.#ws.arenas.home.buffer, at, count);
    return { max, weights: doubles(at, length), total: doubles(sums, chunks).reduce((a, b) => a + b, 0) };
  }

  /** Room for the exponentials of one row of logits, and for their chunks' sums: the same each time. */
  #roomFor(length: number, chunks: number): { at: number; sums: number } {
    if (this.#room?.length !== length) {
      const { home } = this.#ws.arenas;
      if (this.#room) home.free(this.#room.at, this.#room.bytes);
      const bytes = (length + chunks) * 8;
      this.#room = { length, bytes, at: this.#ws.arenas.allocateAtHome(bytes) };
    }
    const { at } = this.#room;
    return { at, sums: at + length * 8 };
  }

  write({ shape, data }: HostTensor): Tensor {
    if (data instanceof Int32Array) return this.#ws.create(shape, data.slice());
    const out = this.#ws.create(shape);
    this.#ws.valuesOf(out).set(data);
    return out;
  }

  /** Frees its memory; the threads wait for the next engine. */
  async close(): Promise<void> {
    await this.#ws.close();
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
