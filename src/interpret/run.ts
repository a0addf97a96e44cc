import type { Model } from "../generation/model.ts";
import type { Hooks } from "../model/hooks.ts";
import { type Trace, trace } from "../oracle/trace.ts";

/** Token ids, or text that the model's tokenizer encodes (special tokens in it are plain text). */
export type Input = string | readonly number[];

export function idsOf(model: Model, input: Input): readonly number[] {
  return typeof input === "string" ? model.requireTokenizer().encode(input) : input;
}

/**
 * Runs a model and keeps its activations, as TransformerLens' `run_with_cache` does, under the names of the trace points.
 *
 * @param options.points which to keep: a glob, commas between alternatives; all by default. `layers.*.attn.scores` and `.weights`
 *   take heads · T² values a layer
 * @param options.hooks read or replace activations on the way, ahead of their being kept
 * @returns activations by point, `ids` among them
 */
export function runWithCache(
  model: Model,
  input: Input,
  { points, hooks }: { readonly points?: string; readonly hooks?: Hooks } = {},
): Promise<Trace> {
  return trace(model.transformer, idsOf(model, input), {
    ...(points !== undefined && { points }),
    ...(hooks && { hooks: () => hooks }),
  });
}
