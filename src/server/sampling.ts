import { randomInt } from "node:crypto";
import { z } from "zod";
import type { GenerateOptions } from "../generation/generate.ts";

/** How to sample, as all of OpenAI's APIs name it. What is left out takes the checkpoint's defaults. */
export interface SamplingFields {
  readonly temperature?: number | undefined;
  readonly top_p?: number | undefined;
  readonly top_k?: number | undefined;
  readonly min_p?: number | undefined;
  readonly seed?: number | undefined;
  /** Added to logits, by token id. */
  readonly logit_bias?: Readonly<Record<string, number>> | undefined;
  readonly presence_penalty?: number | undefined;
  readonly frequency_penalty?: number | undefined;
}

const MAX_BIASES = 1024;

type Shape<T> = { readonly [K in keyof T]-?: z.ZodType<T[K]> };

export const samplingShape: Shape<SamplingFields> = {
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  top_k: z.int().min(0).optional(),
  min_p: z.number().min(0).max(1).optional(),
  seed: z.int().optional(),
  logit_bias: z
    .record(z.string().regex(/^\d{1,7}$/, "keys are token ids"), z.number().min(-100).max(100))
    .refine((bias) => Object.keys(bias).length <= MAX_BIASES, `at most ${MAX_BIASES} tokens`)
    .optional(),
  presence_penalty: z.number().min(-2).max(2).optional(),
  frequency_penalty: z.number().min(-2).max(2).optional(),
};

/** One generation's sampling. */
export interface Sampling {
  readonly options: Pick<GenerateOptions, "temperature" | "topP" | "topK" | "minP" | "seed" | "adjustLogits">;
  /** To be told of each token, which penalties count. */
  push(id: number): void;
}

/** @param choice of several that are asked for at once; each draws with a seed of its own */
export function samplingOf(fields: SamplingFields, choice = 0): Sampling {
  const { temperature, top_p, top_k, min_p, seed = randomInt(2 ** 47) } = fields;
  const counts = new Map<number, number>();
  return {
    options: {
      ...(temperature !== undefined && { temperature }),
      ...(top_p !== undefined && { topP: top_p }),
      ...(top_k !== undefined && { topK: top_k }),
      ...(min_p !== undefined && { minP: min_p }),
      seed: choiceSeed(seed, choice),
      ...adjustment(fields, counts),
    },
    push: (id) => void counts.set(id, (counts.get(id) ?? 0) + 1),
  };
}

function choiceSeed(seed: number, choice: number): number {
  const next = seed + choice;
  return Number.isSafeInteger(next) ? next : seed - choice;
}

/** Penalties as OpenAI defines them: on logits, by how often a token has been generated. */
function adjustment(
  { logit_bias = {}, presence_penalty = 0, frequency_penalty = 0 }: SamplingFields,
  counts: ReadonlyMap<number, number>,
): Pick<GenerateOptions, "adjustLogits"> {
  const biases = Object.entries(logit_bias).map(([id, bias]) => [Number(id), bias] as const);
  const penalises = presence_penalty !== 0 || frequency_penalty !== 0;
  if (biases.length === 0 && !penalises) return {};
  return {
    adjustLogits(logits) {
      for (const [id, bias] of biases) if (id < logits.length) logits[id]! += bias;
      if (!penalises) return;
      for (const [id, count] of counts) logits[id]! -= presence_penalty + frequency_penalty * count;
    },
  };
}
