import type { WeightSource } from "../../checkpoint/weights.ts";
import { UsageError } from "../../errors.ts";
import { DIALECTS, type Dialect, type DialectName } from "../../numerics/dialects.ts";
import { exponentials } from "../../numerics/exponentials.ts";
import { roundToBfloat16 } from "../../numerics/float.ts";
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
import { context, keysOf, scores, sinkSoftmax } from "./attention.ts";
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
    const [keys, values] = [row(), row()];
    return { capacity, headDim, width, keys, values, bytes: keys.byteLength + values.byteLength };
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

  store(k: Tensor, v: Tensor, spans: readonly AttentionSpan[]): void {
    const kept = (x: Tensor): Float64Array =>
      this.#kvCache === "bf16" ? valuesOf(x).map(roundToBfloat16) : valuesOf(x);
    const [newKeys, newValues] = [kept(k), kept(v)];
    let row = 0;
    for (const { ring, tokens, position } of spans) {
      const { width, capacity, keys, values } = ringOf(ring);
      for (let t = 0; t < tokens; t++, row++) {
        const to = ((position + t) % capacity) * width;
        keys.set(newKeys.subarray(row * width, (row + 1) * width), to);
        values.set(newValues.subarray(row * width, (row + 1) * width), to);
      }
    }
  }

  attentionScores(q: Tensor, spans: readonly AttentionSpan[], scale: number): Tensor {
    const [T, heads, headDim] = q.shape as [number, number, number];
    const attend = this.dialect.activationBits ? float32.scores : scores;
    const queries = parts(valuesOf(q), spans, ({ tokens }) => tokens * heads * headDim);
    const all = spans.map((span, i) => attend(queries[i]!, heads, headDim, span, scale, this.dialect));
    return tensor([heads, T, Math.max(...spans.map(keysOf))], joined(all));
  }

  async sinkSoftmax(
    x: Tensor,
    sinks: Weight,
    spans: readonly AttentionSpan[],
  ): Promise<{ weights: Tensor; sink: Tensor }> {
    const [heads, T] = x.shape as [number, number];
    const normalize = this.dialect.activationBits ? float32.sinkSoftmax : sinkSoftmax;
    const logits = await weightOf(sinks).all();
    const scores = parts(valuesOf(x), spans, (span) => heads * span.tokens * keysOf(span));
    const all = spans.map((span, i) => normalize(scores[i]!, logits, span, this.dialect));
    return {
      weights: tensor(x.shape, joined(all.map(({ weights }) => weights))),
      sink: tensor([heads, T], joined(all.map(({ sink }) => sink))),
    };
  }

  attentionContext(weights: Tensor, spans: readonly AttentionSpan[]): Tensor {
    const [heads, T] = weights.shape as [number, number];
    const average = this.dialect.activationBits ? float32.context : context;
    const shares = parts(valuesOf(weights), spans, (span) => heads * span.tokens * keysOf(span));
    const all = spans.map((span, i) => average(shares[i]!, heads, span, this.dialect));
    return tensor([T, heads * ringOf(spans[0]!.ring).headDim], joined(all));
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

  rows(x: Tensor, rows: readonly number[]): Tensor {
    const width = valuesOf(x).length / x.shape[0]!;
    const all = rows.map((row) => valuesOf(x).subarray(row * width, (row + 1) * width));
    return tensor([rows.length, ...x.shape.slice(1)], joined(all));
  }

  read(x: Tensor): HostTensor {
    return toHost(x, this.dialect.name === "f64");
  }

  exponentials(logits: Tensor, temperature: number): Exponentials {
    const values = valuesOf(logits);
    const max = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) + 0; // never −0
    const weights = new Float64Array(values.length);
    return { max, weights, total: exponentials(values, max, temperature, weights) };
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

/** Each span's part of a tensor. */
function parts(
  values: Float64Array,
  spans: readonly AttentionSpan[],
  lengthOf: (span: AttentionSpan) => number,
): Float64Array[] {
  let end = 0;
  return spans.map((span) => {
    const start = end;
    end += lengthOf(span);
    return values.subarray(start, end);
  });
}

function joined(all: readonly Float64Array[]): Float64Array {
  if (all.length === 1) return all[0]!;
  const out = new Float64Array(all.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of all) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
