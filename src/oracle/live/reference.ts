import type { OpenCheckpoint } from "../../checkpoint/open.ts";
import type { ModelConfig } from "../../config.ts";
import { type LoadOptions, load } from "../../generation/model.ts";
import { logProbabilities } from "../../generation/sampler.ts";
import { exp, log } from "../../numerics/elementary.ts";
import { distanceAt, type PositionDistance } from "./agreement.ts";
import type { TextScores, TopScores } from "./scores.ts";
import type { HarmonyText } from "./texts.ts";

/** A model that a server may be running instead of the right one: a known bug. */
export interface Explanation {
  readonly name: string;
  readonly description: string;
  /** Who had it, or why one might. */
  readonly seen: string;
  readonly fix: string;
  readonly change: { readonly config?: (config: ModelConfig) => ModelConfig };
}

/** One of our runs: the checkpoint, perhaps with a bug, in some dialect. */
export interface Run {
  readonly checkpoint: OpenCheckpoint;
  readonly options: LoadOptions;
  readonly explanation?: Explanation;
}

/** The logits behind each position of a text. */
type Visit = (text: number, position: number, logits: ArrayLike<number>) => void;

/** Positions whose logits are held at a time: each is a number for each token of the vocabulary. */
const CHUNK = 32;

async function visitTexts(run: Run, texts: readonly HarmonyText[], visit: Visit): Promise<void> {
  const { checkpoint, explanation, options } = run;
  const config = explanation?.change.config?.(checkpoint.config) ?? checkpoint.config;
  const lent = { ...checkpoint, config, close: async () => {} };
  await using model = await load(lent, { ...options, tokenizer: false });
  const { transformer } = model;
  for (const [t, { ids }] of texts.entries()) {
    using cache = transformer.createCache();
    for (let from = 0; from < ids.length - 1; from += CHUNK) {
      const chunk = ids.slice(from, Math.min(from + CHUNK, ids.length - 1));
      const { data } = transformer.ops.read(await transformer.forward(chunk, cache));
      for (const i of chunk.keys()) {
        visit(t, from + i, data.subarray(i * config.vocabSize, (i + 1) * config.vocabSize));
      }
    }
  }
}

/** What a run would tell as a server: its most probable tokens at these positions. */
export async function scoresOf(
  run: Run,
  texts: readonly HarmonyText[],
  positions: readonly (readonly number[])[],
  top: number,
): Promise<TextScores[]> {
  const wanted = positions.map((each) => new Set(each));
  const scores = texts.map(() => new Map<number, TopScores>());
  await visitTexts(run, texts, (t, position, logits) => {
    if (!wanted[t]!.has(position)) return;
    const best = logProbabilities(logits, 0, top).top;
    scores[t]!.set(position, new Map(best.map(({ id, logprob }) => [id, logprob])));
  });
  return scores;
}

/** How likely a run finds the texts. */
export interface TextLikelihood {
  readonly name: string;
  /** Tokens that have one before them, and the mean of −ln p over them, in nats. */
  readonly tokens: number;
  readonly nll: number;
  /** The same for the assistant's tokens. */
  readonly assistantTokens: number;
  readonly assistantNll: number;
}

/** Distances of several sets of scores from one run, in the order of texts and positions; and the run's likelihoods. */
export async function distancesFrom(
  run: Run,
  texts: readonly HarmonyText[],
  sets: readonly (readonly TextScores[])[],
): Promise<{ distances: PositionDistance[][]; likelihoods: TextLikelihood[] }> {
  const distances = sets.map((): PositionDistance[] => []);
  const sums = texts.map(() => ({ all: 0, assistant: 0 }));
  await visitTexts(run, texts, (t, position, logits) => {
    const { best, logprob } = normalized(logits);
    const next = position + 1;
    const nll = -logprob(texts[t]!.ids[next]!);
    sums[t]!.all += nll;
    if (texts[t]!.assistant[next]) sums[t]!.assistant += nll;
    for (const [i, set] of sets.entries()) {
      const scores = set[t]?.get(position);
      if (scores) distances[i]!.push(distanceAt(scores, logprob, best));
    }
  });
  const likelihoods = texts.map(({ name, ids, assistant }, t) => {
    const assistantTokens = assistant.filter((is, i) => is && i > 0).length;
    const { all, assistant: theirs } = sums[t]!;
    return {
      ...{ name, tokens: ids.length - 1, nll: all / (ids.length - 1) },
      ...{ assistantTokens, assistantNll: theirs / Math.max(assistantTokens, 1) },
    };
  });
  return { distances, likelihoods };
}

function normalized(logits: ArrayLike<number>): { best: number; logprob: (id: number) => number } {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  let sum = 0;
  for (let id = 0; id < logits.length; id++) sum += exp(logits[id]! - logits[best]!);
  const logSum = logits[best]! + log(sum);
  return { best, logprob: (id) => logits[id]! - logSum };
}

const rope = (change: Partial<ModelConfig["rope"]>): Explanation["change"] => ({
  config: (config) => ({ ...config, rope: { ...config.rope, ...change } }),
});

/** Bugs that are a change of the configuration, by how often they are met. */
export const EXPLANATIONS: readonly Explanation[] = [
  {
    name: "yarn-truncated",
    description: "The bounds of YaRN's ramp are rounded to whole dimensions.",
    seen: "llama.cpp, to this day; vLLM, SGLang and transformers once",
    fix: "Honour truncate: false.",
    change: rope({ truncate: true }),
  },
  {
    name: "yarn-none",
    description: "Plain RoPE: YaRN is ignored.",
    seen: "rope_scaling not read, or only beyond the original context",
    fix: "Apply YaRN at every position.",
    change: rope({ factor: 1 }),
  },
  {
    name: "window-none",
    description: "All layers see all of the text.",
    seen: "OpenVINO exported a window of 0",
    fix: "Layers 0, 2, 4, … see as many tokens as the window has, the query's own included.",
    change: { config: (config) => ({ ...config, layerTypes: config.layerTypes.map(() => "full") }) },
  },
  {
    name: "window-one-more",
    description: "The window has one key too many.",
    seen: "Megatron-LM, mlx-lm: a mask that counts the query apart",
    fix: "A window of 128 includes the query's own token.",
    change: { config: (config) => ({ ...config, slidingWindow: config.slidingWindow + 1 }) },
  },
  {
    name: "window-everywhere",
    description: "All layers slide.",
    seen: "layer_types not read",
    fix: "Layers 1, 3, 5, … see all of the text.",
    change: { config: (config) => ({ ...config, layerTypes: config.layerTypes.map(() => "sliding") }) },
  },
  {
    name: "layers-exchanged",
    description: "Full layers come first.",
    seen: "a pattern that counts from the other end",
    fix: "Layer 0 slides.",
    change: {
      config: (config) => ({
        ...config,
        layerTypes: config.layerTypes.map((type) => (type === "full" ? "sliding" : "full")),
      }),
    },
  },
  {
    name: "swiglu-unclamped",
    description: "SwiGLU's inputs aren't clamped.",
    seen: "swiglu_limit not read",
    fix: "gate at most 7, up from −7 to 7.",
    change: { config: (config) => ({ ...config, swigluLimit: 1e30 }) },
  },
  {
    name: "swiglu-plain-silu",
    description: "SwiGLU's sigmoid has no factor of 1.702.",
    seen: "hidden_act is silu in config.json",
    fix: "gate · sigmoid(1.702 · gate) · (up + 1).",
    change: { config: (config) => ({ ...config, swigluAlpha: 1 }) },
  },
  {
    name: "theta-10000",
    description: "RoPE's base is 10000.",
    seen: "rope_theta not read",
    fix: "Read rope_theta.",
    change: rope({ theta: 10000 }),
  },
  {
    name: "experts-one-fewer",
    description: "A token meets one expert too few.",
    seen: "experts_per_token read from elsewhere",
    fix: "Four experts a token.",
    change: { config: (config) => ({ ...config, expertsPerToken: Math.max(1, config.expertsPerToken - 1) }) },
  },
];
