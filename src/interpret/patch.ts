import type { HostTensor } from "../engine/ops.ts";
import { UsageError } from "../errors.ts";
import type { Model } from "../generation/model.ts";
import type { Hook } from "../model/hooks.ts";
import { tokenAxis } from "../oracle/trace.ts";
import { type Input, idsOf, runWithCache } from "./run.ts";

/** A number that tells two behaviours apart, from the logits [vocab] behind the last token. */
export type Metric = (logits: HostTensor["data"]) => number;

/** By how much one token's logit is above another's. */
export function logitDifference(right: number, wrong: number): Metric {
  return (logits) => logits[right]! - logits[wrong]!;
}

export interface PatchOptions {
  readonly metric: Metric;
  /** Points to patch, one at a time, of shape [T, …]. Default: the residual stream behind each layer. */
  readonly points?: string;
  /** Tokens to patch, one at a time. Default: all. */
  readonly positions?: readonly number[];
}

export interface Patching {
  readonly points: readonly string[];
  readonly positions: readonly number[];
  /** The metric of the clean run, and of the corrupt one. */
  readonly clean: number;
  readonly corrupt: number;
  /** effects[point][position]: 0 where the patch changes nothing, 1 where it brings back all of the clean run's metric. */
  readonly effects: readonly (readonly number[])[];
}

/**
 * Activation patching (causal tracing; arXiv:2202.05262, arXiv:2309.16042): runs the corrupt prompt again and again, each time with one
 * token's activation at one point taken from the clean run. Where that brings the clean answer back, there the
 * difference between the two prompts sits.
 *
 *     effect = (metric of the patched run − corrupt) / (clean − corrupt)
 *
 * It takes points · positions forward passes.
 *
 * @throws UsageError for prompts of different lengths, points that aren't [T, …], or a metric that is the same for both
 */
export async function patch(
  model: Model,
  cleanInput: Input,
  corruptInput: Input,
  { metric, points: pattern = "layers.*.moe.residual", positions: chosen }: PatchOptions,
): Promise<Patching> {
  const [cleanIds, corruptIds] = [idsOf(model, cleanInput), idsOf(model, corruptInput)];
  if (cleanIds.length !== corruptIds.length) {
    throw new UsageError("the prompts have different lengths", {
      expected: `${cleanIds.length} tokens, as the clean one`,
      found: `${corruptIds.length} tokens`,
    });
  }
  const positions = chosen ?? [...cleanIds.keys()];
  const cached = await runWithCache(model, cleanIds, { points: pattern });
  const points = [...cached.keys()].filter((point) => point !== "ids");
  const unfit = points.find((point) => tokenAxis(point) !== 0 || point === "norm" || point === "logits");
  if (unfit !== undefined) {
    throw new UsageError("the point can't be patched token by token", {
      where: unfit,
      hint: "Patch points of shape [T, …] ahead of the final norm.",
    });
  }
  const measure = async (ids: readonly number[], hooks?: Record<string, Hook>): Promise<number> => {
    using cache = model.transformer.createCache();
    const logits = await model.transformer.forward(ids, cache, { lastOnly: true, ...(hooks && { hooks }) });
    return metric(model.transformer.ops.read(logits).data);
  };
  const clean = await measure(cleanIds);
  const corrupt = await measure(corruptIds);
  if (!(Math.abs(clean - corrupt) > 0)) {
    throw new UsageError("the metric doesn't tell the prompts apart", { found: `${clean} for both` });
  }
  const effects: number[][] = [];
  for (const point of points) {
    const row: number[] = [];
    for (const position of positions) {
      const patched = await measure(corruptIds, { [point]: takeToken(cached.get(point)!, position) });
      row.push(patched === corrupt ? 0 : (patched - corrupt) / (clean - corrupt));
    }
    effects.push(row);
  }
  return { points, positions, clean, corrupt, effects };
}

/** A hook that takes one token's values from elsewhere. */
function takeToken(from: HostTensor, position: number): Hook {
  const width = from.data.length / from.shape[0]!;
  return ({ shape, data }) => {
    const patched = data.slice();
    patched.set(from.data.subarray(position * width, (position + 1) * width), position * width);
    return { shape, data: patched };
  };
}
