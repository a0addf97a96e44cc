import type { MoeWeights } from "../checkpoint/weights.ts";
import type { Tensor, Weight } from "../engine/ops.ts";
import type { Pass } from "./transformer.ts";

/**
 * Mixture of experts: x + Σ over the chosen experts e of weight_e · expert_e(RMSNorm(x)).
 *
 * A linear router scores all experts; each token goes through the best 4 of 32 (20b) or 128 (120b), which is
 * why 3.6B of 21B or 5.1B of 117B parameters are active. The experts' matrices are over 90 % of the model, and the part
 * that is stored in MXFP4, 4.25 bits a weight (`numerics/mxfp4.ts`); all else is bfloat16. What is particular to gpt-oss:
 * - The softmax runs over the 4 chosen logits: the same as one over all, of which the 4 are kept and renormalised.
 * - Experts have biases. The one on the way down is added before the expert's weight multiplies it.
 * - The activation is a *clamped* SwiGLU: gate ≤ 7, |up| ≤ 7, then gate · sigmoid(1.702 · gate) · (up + 1).
 *   1.702 makes gate · sigmoid(…) nearly GELU; the + 1 lets the gate through where `up` is 0. The two interleave:
 *   row 2i of the first matrix is gate i, row 2i + 1 up i.
 */
export async function mixtureOfExperts(
  x: Tensor,
  layer: number,
  weights: MoeWeights<Weight>,
  { ops, config, tap }: Pass,
): Promise<Tensor> {
  const at = `layers.${layer}.moe`;

  const t = await tap(`${at}.norm`, ops.rmsNorm(x, weights.norm, config.rmsNormEps));

  const { router, gateUp, down } = weights;
  const logits = await tap(`${at}.router_logits`, ops.linear(t, router.weight, router.bias));
  const ids = await tap(`${at}.expert_ids`, ops.topK(logits, config.expertsPerToken));
  ops.prefetchExperts?.(ids, [gateUp.weight, down.weight]);
  const shares = await tap(`${at}.expert_weights`, ops.softmax(await ops.gather(logits, ids)));

  const gateAndUp = await tap(`${at}.gate_up`, ops.expertLinear(t, ids, gateUp.weight, gateUp.bias));
  const activated = await tap(`${at}.swiglu`, ops.swiglu(gateAndUp, config.swigluAlpha, config.swigluLimit));
  const outputs = await tap(`${at}.down`, ops.expertLinear(activated, ids, down.weight, down.bias));

  const out = await tap(`${at}.out`, ops.weightedSum(outputs, shares, ids));
  return tap(`${at}.residual`, ops.add(x, out));
}
