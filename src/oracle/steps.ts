import type { PointDistance } from "./compare.ts";
import { groupOf } from "./noise-floor.ts";
import type { Routing } from "./routing.ts";
import type { Trace } from "./trace.ts";

/**
 * How much of a point's error its own operation has made. Errors add up through the layers, and a token that went to another expert
 * hands them to all that attend to it; but an operation that is computed rightly makes of the errors of its inputs errors of
 * about their size, plus its own rounding. So each token's error is held against those of the point's inputs:
 *
 *     ratio = error / (error of the inputs + unit),   unit: what the dialects round away
 *
 * which stays within what was measured on correct runs at any depth, behind any flip.
 */
export interface Step {
  /** The point's kind and those of its inputs. */
  readonly key: string;
  /** Tokens may have gone to other experts on the way, which the traces don't tell: only the median counts. */
  readonly blind: boolean;
  /** Of all tokens. */
  readonly median: number;
  readonly worst: number;
  readonly ratios: Float64Array;
}

/** Largest ratios of correct runs, times a factor. */
export interface StepFloor {
  readonly median: number;
  readonly worst: number;
}

/** The error that a token's inputs bring along: relative, or absolute where the operation is a sum or looks at differences. */
type Rule = (inputs: Inputs, t: number) => number;

interface Inputs {
  /** Relative rms error of a token at a point of this layer; `before` is the residual stream ahead of it. */
  relative(input: string, t: number): number;
  absolute(input: string, t: number): number;
  /** Rms of the token's values at the point itself. */
  readonly signal: Float64Array;
  /** Mean square of the errors of the tokens that t may see. */
  seen(input: string, t: number): number;
  /** The same of the values, weighted with how much the heads look at each. */
  attended(t: number): number;
}

interface Way {
  readonly from: readonly string[];
  readonly rule: Rule;
}

const of = (input: string): Way => ({ from: [input], rule: ({ relative }, t) => relative(input, t) });
const differencesOf = (input: string): Way => ({
  from: [input],
  rule: ({ absolute }, t) => absolute(input, t),
});
const sumOf = (x: string, y: string): Way => ({
  from: [x, y],
  rule: ({ absolute, signal }, t) => (absolute(x, t) + absolute(y, t)) / signal[t]!,
});
/** A query of its own token, keys of all. */
const ofQueryAndKeys = (query: string, key: string): Way => ({
  from: query === key ? [query] : [query, key],
  rule: ({ relative, seen }, t) => Math.sqrt(relative(query, t) ** 2 + seen(key, t)),
});
const through = (input: string): Way => ofQueryAndKeys(input, input);

/** What each point is computed from, and, where a trace lacks that, from what further up. */
const WAYS: Readonly<Record<string, readonly Way[]>> = {
  "attn.norm": [of("before")],
  "attn.q": [of("attn.norm"), of("before")],
  "attn.k": [of("attn.norm"), of("before")],
  "attn.v": [of("attn.norm"), of("before")],
  "attn.q_rope": [of("attn.q"), of("attn.norm"), of("before")],
  "attn.k_rope": [of("attn.k"), of("attn.norm"), of("before")],
  "attn.scores": [
    ofQueryAndKeys("attn.q_rope", "attn.k_rope"),
    ofQueryAndKeys("attn.q", "attn.k"),
    through("attn.norm"),
  ],
  "attn.weights": [
    differencesOf("attn.scores"),
    ofQueryAndKeys("attn.q_rope", "attn.k_rope"),
    ofQueryAndKeys("attn.q", "attn.k"),
  ],
  "attn.sink": [differencesOf("attn.scores"), ofQueryAndKeys("attn.q_rope", "attn.k_rope")],
  "attn.context": [
    {
      from: ["attn.weights", "attn.v"],
      rule: ({ relative, attended }, t) => Math.sqrt(relative("attn.weights", t) ** 2 + attended(t)),
    },
    through("attn.norm"),
    through("before"),
  ],
  "attn.out": [of("attn.context"), through("attn.norm"), through("before")],
  "attn.residual": [sumOf("attn.out", "before"), through("before")],
  "moe.norm": [of("attn.residual"), through("before")],
  "moe.router_logits": [of("moe.norm"), of("attn.residual"), through("before")],
  "moe.expert_weights": [differencesOf("moe.router_logits"), of("moe.norm"), of("attn.residual")],
  "moe.gate_up": [of("moe.norm"), of("attn.residual")],
  "moe.swiglu": [of("moe.gate_up"), of("moe.norm")],
  "moe.down": [of("moe.swiglu"), of("moe.norm")],
  "moe.out": [
    {
      from: ["moe.down", "moe.expert_weights"],
      rule: ({ relative }, t) => Math.hypot(relative("moe.down", t), relative("moe.expert_weights", t)),
    },
    of("moe.norm"),
    of("attn.residual"),
    through("before"),
  ],
  "moe.residual": [sumOf("moe.out", "attn.residual"), of("attn.residual"), through("before")],
  norm: [of("before")],
  logits: [of("norm"), of("before")],
};

function nameOf(input: string, layer: number | undefined, layers: number): string {
  if (input !== "before") return layer === undefined ? input : `layers.${layer}.${input}`;
  const before = layer === undefined ? layers - 1 : layer - 1;
  return before < 0 ? "embedding" : `layers.${before}.moe.residual`;
}

/** Names of the points that a point is computed from; the embedding from none. */
export function inputsOf(point: string, layers: number): string[] {
  const { group, layer } = groupOf(point);
  return (WAYS[group]?.[0]?.from ?? []).map((input) => nameOf(input, layer, layers));
}

/** The steps to a point from those of its inputs that were compared too, the shortest first. */
export function* stepsOf(
  distance: PointDistance,
  compared: ReadonlyMap<string, PointDistance>,
  b: Trace,
  layers: number,
  unit: number,
  routing: Routing,
): Generator<Step> {
  const { point, tokenErrors, tokenSignals, note } = distance;
  const { group, layer } = groupOf(point);
  if (!tokenErrors || !tokenSignals || note !== undefined) return;
  for (const { from, rule } of WAYS[group] ?? []) {
    const sources = new Map<string, PointDistance>();
    for (const input of from) {
      const source = compared.get(nameOf(input, layer, layers));
      const whole = source?.tokenErrors?.length === tokenErrors.length && source.note === undefined;
      if (whole) sources.set(input, source);
    }
    if (sources.size < from.length) continue;
    const relative = (input: string, t: number): number => sources.get(input)!.tokenErrors![t]!;
    const weights = sources.has("attn.weights")
      ? b.get(nameOf("attn.weights", layer, layers))?.data
      : undefined;
    const inputs: Inputs = {
      relative,
      absolute: (input, t) => relative(input, t) * sources.get(input)!.tokenSignals![t]!,
      signal: tokenSignals,
      seen: meanOfSquares(relative),
      attended: attention(weights, tokenErrors.length, (t) => relative("attn.v", t)),
    };
    // past the choice of experts, a token that went elsewhere has an error of its own, unless the step begins behind it
    const pastChoice =
      /^moe\.(expert_weights|out)$/.test(group) || (group === "moe.residual" && !from.includes("moe.out"));
    const ratios = tokenErrors.map((error, t) => {
      if (Number.isNaN(error) || (pastChoice && routing.differs(layer!, t))) return Number.NaN;
      const given = rule(inputs, t);
      if (Number.isNaN(given)) return Number.NaN; // an input of this token was not compared
      return error === 0 ? 0 : error / (given + unit);
    });
    const judged = ratios.filter((ratio) => !Number.isNaN(ratio)).sort();
    if (judged.length === 0) continue;
    const blind = pastChoice && !routing.knows(layer!);
    yield {
      key: `${group} < ${from.join(" + ")}`,
      median: judged[judged.length >> 1]!,
      worst: judged.at(-1)!,
      ratios,
      blind,
    };
  }
}

/** Mean square of an error over tokens 0 … t, each asked for in turn. */
function meanOfSquares(error: (input: string, t: number) => number): Inputs["seen"] {
  const sums: number[] = [];
  return (input, t) => {
    for (let i = sums.length; i <= t; i++) sums.push((sums[i - 1] ?? 0) + error(input, i) ** 2);
    return sums[t]! / (t + 1);
  };
}

function attention(
  weights: ArrayLike<number> | undefined,
  T: number,
  error: (t: number) => number,
): Inputs["attended"] {
  return (t) => {
    if (!weights) return 0;
    const heads = weights.length / (T * T);
    let [total, weighted] = [0, 0];
    for (let head = 0; head < heads; head++) {
      for (let key = 0; key <= t; key++) {
        const weight = weights[(head * T + t) * T + key]!;
        if (weight === 0) continue;
        total += weight;
        weighted += weight * error(key) ** 2;
      }
    }
    return total === 0 ? 0 : weighted / total;
  };
}
