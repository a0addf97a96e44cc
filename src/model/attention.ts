import type { AttentionWeights } from "../checkpoint/weights.ts";
import type { Tensor, Weight } from "../engine/ops.ts";
import type { Pass } from "./transformer.ts";

/**
 * Grouped-query attention with learned sinks: x + o_proj(attend(RMSNorm(x))).
 *
 * What is particular to gpt-oss:
 * - Layers alternate between a sliding window (layer 0, 2, …: the 128 latest keys, the query's own among them) and the
 *   full context.
 * - Each head has a *sink*: one learned logit that joins its softmax and takes a share of the attention, but brings no
 *   value: p_j = exp(s_j) / (Σ exp(s_k) + exp(sink)). A head that finds nothing of interest can so attend to nothing,
 *   where a plain softmax would force it to pick something. The sink is no token: it has no key, is neither rotated nor
 *   scaled by 1/√headDim, and never leaves the window.
 * - 64 query heads of 64 dimensions, 4096 in all, are wider than the residual stream of 2880. Query heads 8g … 8g + 7 read
 *   key-value head g. All four projections have biases.
 */
export async function attention(
  x: Tensor,
  layer: number,
  weights: AttentionWeights<Weight>,
  { ops, config, batch, rope, tap }: Pass,
): Promise<Tensor> {
  const at = `layers.${layer}.attn`;
  const { numAttentionHeads: heads, numKeyValueHeads: kvHeads, headDim } = config;
  const T = x.shape[0]!;

  const t = await tap(`${at}.norm`, ops.rmsNorm(x, weights.norm, config.rmsNormEps));

  const project = async (point: string, w: AttentionWeights<Weight>["q"], n: number): Promise<Tensor> =>
    tap(point, ops.reshape(await ops.linear(t, w.weight, w.bias), [T, n, headDim]));
  const q = await project(`${at}.q`, weights.q, heads);
  const k = await project(`${at}.k`, weights.k, kvHeads);
  const v = await project(`${at}.v`, weights.v, kvHeads);

  const qRope = await tap(`${at}.q_rope`, ops.rotate(q, rope));
  const kRope = await tap(`${at}.k_rope`, ops.rotate(k, rope));
  const spans = batch.spans(layer); // of each sequence, where its keys and values are
  await ops.store(kRope, v, spans);

  const scale = 1 / Math.sqrt(headDim);
  const scores = await tap(`${at}.scores`, ops.attentionScores(qRope, spans, scale));
  const { weights: softmax, sink } = await ops.sinkSoftmax(scores, weights.sinks, spans);
  const p = await tap(`${at}.weights`, softmax);
  await tap(`${at}.sink`, sink); // nothing follows from it
  const context = await tap(`${at}.context`, ops.attentionContext(p, spans));

  const out = await tap(`${at}.out`, ops.linear(context, weights.out.weight, weights.out.bias));
  return tap(`${at}.residual`, ops.add(x, out));
}
