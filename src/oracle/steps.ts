import type { PointDistance } from "./compare.ts";
import { groupOf } from "./noise-floor.ts";
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
  /** Of all tokens. */
  readonly median: number;
  readonly worst: number;
  readonly ratios: Float64Array;
}

/** Largest ratios of correct runs, times a factor. */
export interface StepFloor {
  readonly unit: number;
  readonly median: number;
  readonly worst: number;
}

/** Relative errors of the inputs, or absolute ones where the operation is a sum or looks at differences. */
type Rule = (inputs: Inputs, t: number) => number;

interface Inputs {
  /** Relative rms error of a token at a point of this layer; `before` is the residual stream ahead of it. */
  relative(input: string, t: number): number;
  absolute(input: string, t: number): number;
  /** Rms of the token's values at the point itself. */
  readonly signal: Float64Array;
  /** Mean square of the keys' errors that token t may see. */
  keys(input: string, t: number): number;
  /** The same, weighted with how much the heads look at each. */
  attended(input: string, t: number): number;
}

const same =
  (input: string): Rule =>
  ({ relative }, t) =>
    relative(input, t);
const softmaxed =
  (input: string): Rule =>
  ({ absolute }, t) =>
    absolute(input, t);
const sum =
  (x: string, y: string): Rule =>
  ({ absolute, signal }, t) =>
    (absolute(x, t) + absolute(y, t)) / signal[t]!;

const RULES: Readonly<Record<string, { readonly from: readonly string[]; readonly rule: Rule }>> = {
  "attn.norm": { from: ["before"], rule: same("before") },
  "attn.q": { from: ["attn.norm"], rule: same("attn.norm") },
  "attn.k": { from: ["attn.norm"], rule: same("attn.norm") },
  "attn.v": { from: ["attn.norm"], rule: same("attn.norm") },
  "attn.q_rope": { from: ["attn.q"], rule: same("attn.q") },
  "attn.k_rope": { from: ["attn.k"], rule: same("attn.k") },
  "attn.scores": {
    from: ["attn.q_rope", "attn.k_rope"],
    rule: ({ relative, keys }, t) => Math.sqrt(relative("attn.q_rope", t) ** 2 + keys("attn.k_rope", t)),
  },
  "attn.weights": { from: ["attn.scores"], rule: softmaxed("attn.scores") },
  "attn.sink": { from: ["attn.scores"], rule: softmaxed("attn.scores") },
  "attn.context": {
    from: ["attn.weights", "attn.v"],
    rule: ({ relative, attended }, t) => Math.sqrt(relative("attn.weights", t) ** 2 + attended("attn.v", t)),
  },
  "attn.out": { from: ["attn.context"], rule: same("attn.context") },
  "attn.residual": { from: ["attn.out", "before"], rule: sum("attn.out", "before") },
  "moe.norm": { from: ["attn.residual"], rule: same("attn.residual") },
  "moe.router_logits": { from: ["moe.norm"], rule: same("moe.norm") },
  "moe.expert_weights": { from: ["moe.router_logits"], rule: softmaxed("moe.router_logits") },
  "moe.gate_up": { from: ["moe.norm"], rule: same("moe.norm") },
  "moe.swiglu": { from: ["moe.gate_up"], rule: same("moe.gate_up") },
  "moe.down": { from: ["moe.swiglu"], rule: same("moe.swiglu") },
  "moe.out": {
    from: ["moe.down", "moe.expert_weights"],
    rule: ({ relative }, t) => Math.hypot(relative("moe.down", t), relative("moe.expert_weights", t)),
  },
  "moe.residual": { from: ["moe.out", "attn.residual"], rule: sum("moe.out", "attn.residual") },
  norm: { from: ["before"], rule: same("before") },
  logits: { from: ["norm"], rule: same("norm") },
};

/** Names of the points that a point is computed from; the embedding from none. */
export function inputsOf(point: string, layers: number): string[] {
  const { group, layer } = groupOf(point);
  return (RULES[group]?.from ?? []).map((input) => {
    if (input !== "before") return layer === undefined ? input : `layers.${layer}.${input}`;
    const before = layer === undefined ? layers - 1 : layer - 1;
    return before < 0 ? "embedding" : `layers.${before}.moe.residual`;
  });
}

/** The step to a point, if its inputs were compared too. */
export function stepOf(
  distance: PointDistance,
  compared: ReadonlyMap<string, PointDistance>,
  b: Trace,
  layers: number,
  unit: number,
  excluded: (t: number) => boolean,
): Step | undefined {
  const { point, tokenErrors, tokenSignals } = distance;
  const { group } = groupOf(point);
  const rule = RULES[group];
  if (!rule || !tokenErrors || !tokenSignals) return undefined;
  const sources = new Map<string, PointDistance>();
  for (const [i, name] of inputsOf(point, layers).entries()) {
    const source = compared.get(name);
    if (!source?.tokenErrors || source.note !== undefined || source.tokenErrors.length !== tokenErrors.length)
      return undefined;
    sources.set(rule.from[i]!, source);
  }
  const relative = (input: string, t: number): number => sources.get(input)!.tokenErrors![t]!;
  const inputs: Inputs = {
    relative,
    absolute: (input, t) => relative(input, t) * sources.get(input)!.tokenSignals![t]!,
    signal: tokenSignals,
    keys: meanOfSquares((t) => relative("attn.k_rope", t)),
    attended: attention(b.get(point.replace("context", "weights"))?.data, tokenErrors.length, (t) =>
      relative("attn.v", t),
    ),
  };
  const ratios = tokenErrors.map((error, t) => {
    if (Number.isNaN(error) || excluded(t)) return Number.NaN;
    const given = rule.rule(inputs, t);
    if (Number.isNaN(given)) return Number.NaN; // an input of this token was not compared
    return error === 0 ? 0 : error / (given + unit);
  });
  const judged = ratios.filter((ratio) => !Number.isNaN(ratio)).sort();
  if (judged.length === 0) return undefined;
  return { median: judged[judged.length >> 1]!, worst: judged.at(-1)!, ratios };
}

/** Mean square of an error over tokens 0 … t, each asked for in turn. */
function meanOfSquares(error: (t: number) => number): Inputs["keys"] {
  const sums: number[] = [];
  return (_, t) => {
    for (let i = sums.length; i <= t; i++) sums.push((sums[i - 1] ?? 0) + error(i) ** 2);
    return sums[t]! / (t + 1);
  };
}

function attention(
  weights: ArrayLike<number> | undefined,
  T: number,
  error: (t: number) => number,
): Inputs["attended"] {
  return (_, t) => {
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
