import type { HostTensor } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import type { Model } from "../generation/model.ts";
import { pointMatcher } from "../model/hooks.ts";
import { exp } from "../numerics/elementary.ts";
import type { Trace } from "../oracle/trace.ts";

export interface LensView {
  /** Residual stream that was read. */
  readonly point: string;
  /** [positions, vocab] */
  readonly logits: HostTensor;
}

/**
 * The logit lens (nostalgebraist 2020): what the model would say if it ended here. Each residual stream goes through
 * the final norm and the unembedding, as the last one does.
 *
 * @param activations of {@link runWithCache}, with points such as `embedding` and `layers.*.moe.residual`
 * @param options.points which of them to read. Default: all residual streams
 * @param options.positions tokens to look at. Default: the last
 * @returns in forward order, one view a point
 */
export async function logitLens(
  model: Model,
  activations: Trace,
  {
    points = "embedding,layers.*.residual",
    positions,
  }: { points?: string; positions?: readonly number[] } = {},
): Promise<LensView[]> {
  const { hiddenSize } = model.config;
  const matches = pointMatcher(points);
  const views: LensView[] = [];
  for (const [point, { shape, data }] of activations) {
    if (!matches(point) || point === "ids") continue;
    const [T, width] = shape as [number, number];
    if (shape.length !== 2 || width !== hiddenSize) {
      throw new UsageError("not a residual stream", {
        where: point,
        expected: `[T, ${hiddenSize}]`,
        found: `[${shape.join(", ")}]`,
      });
    }
    const tokens = positions ?? [T - 1];
    const bad = tokens.find((token) => !(Number.isInteger(token) && token >= 0 && token < T));
    if (bad !== undefined)
      throw new UsageError("no such token", { where: point, expected: `0 to ${T - 1}`, found: bad });
    const rows = new Float64Array(tokens.length * width);
    for (const [i, token] of tokens.entries())
      rows.set(data.subarray(token * width, (token + 1) * width), i * width);
    const logits = await model.transformer.unembed({ shape: [tokens.length, width], data: rows });
    views.push({ point, logits });
  }
  if (views.length === 0)
    throw new UsageError("no residual stream is among the activations", { where: points });
  return views;
}

/** The n most probable tokens of a row of logits [vocab], with the probability that softmax gives them. */
export function mostProbable(logits: HostTensor["data"], n: number): { id: number; probability: number }[] {
  const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
  const max = logits[order[0]!]!;
  let sum = 0;
  for (const logit of logits) sum += exp(logit - max);
  return order.slice(0, n).map((id) => ({ id, probability: exp(logits[id]! - max) / sum }));
}
