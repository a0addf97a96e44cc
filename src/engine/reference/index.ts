import type { WeightSource } from "../../checkpoint/weights.ts";
import { UsageError } from "../../errors.ts";
import { DIALECTS, type Dialect, type DialectName } from "../../numerics/dialects.ts";
import { roundToBfloat16 } from "../../numerics/float.ts";
import type { AttentionSpan, HostTensor, Ops, Ring, RopeTable, Tensor, Weight } from "../ops.ts";
import { context, scores, sinkSoftmax } from "./attention.ts";
import * as float32 from "./attention-float32.ts";
import { rmsNorm, rotate, softmax, swiglu, weightedSum } from "./elementwise.ts";
import { expertMatmul, matmul } from "./linear.ts";
import { idsOf, lastOf, type ReferenceRing, ringOf, rowsOf, tensor, toHost, valuesOf } from "./tensor.ts";
import { topK, topKLikeTorch } from "./topk.ts";
import { ReferenceWeight } from "./weight.ts";

/** Bytes of dequantised weights that the engine keeps; beyond, they are dequantised again at each use. */
const KEPT_BYTES = 512 * 2 ** 20;

/**
 * The truth: each operation in plain TypeScript, one after the other, rounding where its dialect says. It refuses to
 * be fast; what it promises is that a reader can check it, and the same bits on every JavaScript engine.
 */
export class ReferenceEngine implements Ops {
  readonly engine = "reference" as const;
  readonly dialect: Dialect;
  readonly #budget = { bytes: KEPT_BYTES };
  readonly #kvCache: "f32" | "bf16";

  /** @param options.kvCache what stored keys and values are rounded to; default f32, which leaves them as they are */
  constructor(dialect: DialectName = "f32", { kvCache = "f32" }: { kvCache?: "f32" | "bf16" } = {}) {
    this.#kvCache = kvCache;
    this.dialect = DIALECTS[dialect];
    if (this.dialect === undefined) {
      throw new UsageError("unknown dialect", { expected: Object.keys(DIALECTS).join(", "), found: dialect });
    }
  }

  async loadWeight(source: WeightSource): Promise<Weight> {
    return new ReferenceWeight(source, this.#budget, this.dialect.roundWeight);
  }

  async embed(table: Weight, ids: readonly number[]): Promise<Tensor> {
    const out = new Float64Array(ids.length * table.cols);
    for (const [t, id] of ids.entries()) out.set(await weightOf(table).read(0, id, 1), t * table.cols);
    return this.#rounded([ids.length, table.cols], out);
  }

  async rmsNorm(x: Tensor, scale: Weight, eps: number): Promise<Tensor> {
    const vector = weightOf(scale);
    const values = this.dialect.roundsNormScales ? await vector.all() : await vector.exact();
    return tensor(x.shape, rmsNorm(valuesOf(x), values, eps, this.dialect));
  }

  async linear(x: Tensor, weight: Weight, bias?: Weight): Promise<Tensor> {
    const out = await matmul(valuesOf(x), weightOf(weight), this.dialect);
    if (bias) {
      const b = await weightOf(bias).all();
      for (let i = 0; i < out.length; i++) out[i]! += b[i % b.length]!;
    }
    return this.#rounded([...x.shape.slice(0, -1), weight.rows], out);
  }

  reshape(x: Tensor, shape: readonly number[]): Tensor {
    return tensor(shape, valuesOf(x));
  }

  rotate(x: Tensor, table: RopeTable): Tensor {
    return tensor(x.shape, rotate(valuesOf(x), x.shape[1]!, x.shape[2]!, table, this.dialect));
  }

  createRing(capacity: number, kvHeads: number, headDim: number): ReferenceRing {
    const width = kvHeads * headDim;
    // all dialects but f64 have rounded keys and values to what float32 holds
    const row = (): Float32Array | Float64Array =>
      new (this.dialect.name === "f64" ? Float64Array : Float32Array)(capacity * width);
    return { capacity, headDim, width, keys: row(), values: row() };
  }

  copyRing(ring: Ring, capacity: number, first: number, end: number): Ring {
    const old = ringOf(ring);
    const { width, headDim } = old;
    const copy = this.createRing(capacity, width / headDim, headDim);
    for (let p = first; p < end; p++) {
      const row = (p % old.capacity) * width;
      const to = (p % capacity) * width;
      copy.keys.set(old.keys.subarray(row, row + width), to);
      copy.values.set(old.values.subarray(row, row + width), to);
    }
    return copy;
  }

  freeRing(): void {}

  store(k: Tensor, v: Tensor, ring: Ring, position: number): void {
    const { width, capacity, keys, values } = ringOf(ring);
    const kept = (x: Tensor): Float64Array =>
      this.#kvCache === "bf16" ? valuesOf(x).map(roundToBfloat16) : valuesOf(x);
    const [newKeys, newValues] = [kept(k), kept(v)];
    for (let t = 0; t < k.shape[0]!; t++) {
      const to = ((position + t) % capacity) * width;
      keys.set(newKeys.subarray(t * width, (t + 1) * width), to);
      values.set(newValues.subarray(t * width, (t + 1) * width), to);
    }
  }

  attentionScores(q: Tensor, ring: Ring, span: AttentionSpan, scale: number): Tensor {
    const [T, heads, headDim] = q.shape as [number, number, number];
    const attend = this.dialect.activationBits ? float32.scores : scores;
    const out = attend(valuesOf(q), heads, headDim, ringOf(ring), span, scale, this.dialect);
    return tensor([heads, T, span.position + T - span.first], out);
  }

  async sinkSoftmax(
    x: Tensor,
    sinks: Weight,
    span: AttentionSpan,
  ): Promise<{ weights: Tensor; sink: Tensor }> {
    const [heads, T] = x.shape as [number, number];
    const normalize = this.dialect.activationBits ? float32.sinkSoftmax : sinkSoftmax;
    const { weights, sink } = normalize(valuesOf(x), await weightOf(sinks).all(), T, span, this.dialect);
    return { weights: tensor(x.shape, weights), sink: tensor([heads, T], sink) };
  }

  attentionContext(weights: Tensor, ring: Ring, span: AttentionSpan): Tensor {
    const [heads, T] = weights.shape as [number, number];
    const { headDim } = ringOf(ring);
    const average = this.dialect.activationBits ? float32.context : context;
    const out = average(valuesOf(weights), heads, headDim, ringOf(ring), span, T, this.dialect);
    return tensor([T, heads * headDim], out);
  }

  add(x: Tensor, y: Tensor): Tensor {
    const b = valuesOf(y);
    return this.#rounded(
      x.shape,
      valuesOf(x).map((a, i) => a + b[i]!),
    );
  }

  topK(x: Tensor, k: number): Tensor {
    const n = lastOf(x.shape);
    const select = this.dialect.breaksTiesLikeTorch ? topKLikeTorch : topK;
    const rows = Array.from({ length: x.shape[0]! }, (_, t) =>
      select(valuesOf(x).subarray(t * n, (t + 1) * n), k),
    );
    return tensor([x.shape[0]!, k], Int32Array.from(rows.flat()));
  }

  gather(x: Tensor, ids: Tensor): Tensor {
    const values = valuesOf(x);
    const n = lastOf(x.shape);
    const k = lastOf(ids.shape);
    const chosen = idsOf(ids);
    const bad = chosen.find((id) => id < 0 || id >= n);
    if (bad !== undefined) throw new UsageError("no such expert", { expected: `0 to ${n - 1}`, found: bad });
    return tensor(
      ids.shape,
      Float64Array.from(chosen, (id, slot) => values[Math.floor(slot / k) * n + id]!),
    );
  }

  softmax(x: Tensor): Tensor {
    return tensor(x.shape, softmax(valuesOf(x), lastOf(x.shape), this.dialect));
  }

  async expertLinear(x: Tensor, ids: Tensor, weight: Weight, bias: Weight): Promise<Tensor> {
    const { round } = this.dialect;
    const [T, k] = ids.shape as [number, number];
    const experts = idsOf(ids);
    const out = await expertMatmul(
      valuesOf(x),
      experts,
      rowsOf(x.shape) / T,
      k,
      weightOf(weight),
      this.dialect,
    );
    const b = await weightOf(bias).all();
    for (const [slot, expert] of experts.entries()) {
      for (let r = 0; r < weight.rows; r++) {
        const at = slot * weight.rows + r;
        out[at] = round(round(out[at]!) + b[expert * weight.rows + r]!);
      }
    }
    return tensor([T, k, weight.rows], out);
  }

  swiglu(gateUp: Tensor, alpha: number, limit: number): Tensor {
    const shape = [...gateUp.shape.slice(0, -1), lastOf(gateUp.shape) / 2];
    return tensor(shape, swiglu(valuesOf(gateUp), alpha, limit, this.dialect));
  }

  weightedSum(x: Tensor, weights: Tensor, ids: Tensor): Tensor {
    const [T, k, n] = x.shape as [number, number, number];
    return tensor([T, n], weightedSum(valuesOf(x), valuesOf(weights), idsOf(ids), k, this.dialect));
  }

  lastRows(x: Tensor, first: number): Tensor {
    const width = valuesOf(x).length / x.shape[0]!;
    return tensor([x.shape[0]! - first, ...x.shape.slice(1)], valuesOf(x).subarray(first * width));
  }

  read(x: Tensor): HostTensor {
    return toHost(x, this.dialect.name === "f64");
  }

  write({ shape, data }: HostTensor): Tensor {
    if (data instanceof Int32Array) return tensor(shape, data.slice());
    return this.#rounded(shape, Float64Array.from(data));
  }

  async close(): Promise<void> {}

  #rounded(shape: readonly number[], values: Float64Array): Tensor {
    const { round } = this.dialect;
    if (this.dialect.name !== "f64") for (let i = 0; i < values.length; i++) values[i] = round(values[i]!);
    return tensor(shape, values);
  }
}

/** The engine only ever meets weights that it loaded itself. */
function weightOf(weight: Weight): ReferenceWeight {
  return weight as ReferenceWeight;
}
