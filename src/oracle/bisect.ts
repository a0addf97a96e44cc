import type { HostTensor } from "../engine/ops.ts";
import type { Model } from "../generation/model.ts";
import { type Hook, pointMatcher } from "../model/hooks.ts";
import type { Transformer } from "../model/transformer.ts";
import type { DialectName } from "../numerics/dialects.ts";
import { adviceOn } from "./advice.ts";
import { stepOf, stretchTo } from "./dataflow.ts";
import { type Judgement, judge, tieWidth } from "./judge.ts";
import { forcing, layOut, type Theirs, tokensHeld } from "./theirs.ts";
import { trace, tracePoints } from "./trace.ts";

/** One operation (or several, where they recorded nothing in between), given their inputs. */
export interface Finding {
  /** Their activation that was judged. */
  readonly point: string;
  /** The operation that computes it. */
  readonly op: string;
  /** Their activations that we computed it from. */
  readonly from: readonly string[];
  /** Points on the way that they don't have: the bug may be in what computes one of these. */
  readonly between: readonly string[];
  readonly verdict: "agrees" | "differs" | "unjudged";
  /** rms(theirs − truth) / rms(truth) over the judged tokens; of `expert_ids` the share of choices that are wrong. */
  readonly error: number;
  /** The same of a correct run in the dialect nearest to theirs. */
  readonly noise: number;
  /** Positions of the tokens that differ. */
  readonly tokens: readonly number[];
  /** Tokens judged; near ties of the router can't be where they recorded no `expert_ids`. */
  readonly judged: number;
  /** What was wrong there in other runtimes. */
  readonly suspects: string;
  /** `expert_ids`: choices of another expert that a near tie explains. */
  readonly ties?: number;
}

export interface Bisection {
  /** In forward order. */
  readonly findings: readonly Finding[];
  /** The operation nearest to the input that differs. */
  readonly first: Finding | undefined;
  readonly tokens: number;
  /** Dialects of which the noise was measured, the truth being f64. */
  readonly dialect: DialectName;
  readonly ignored: Theirs["ignored"];
}

/**
 * Finds the operations that compute something else than ours from the same inputs.
 *
 * Two passes over their tokens, in the dialect nearest to theirs and in float64. At every point that they recorded, what we
 * computed is noted, and theirs takes its place: so each operation works on their inputs, and no error travels further than to the
 * next recorded point. An operation differs when it strays from float64 further than the other pass explains. Several bugs are
 * found at once, and drift isn't taken for one.
 *
 * @param open loads the model in a dialect; it is closed again
 * @param dialect nearest to theirs; f64 is judged as f32, since traces store no more
 */
export async function bisect(
  open: (dialect: DialectName) => Promise<Model>,
  theirs: Theirs,
  dialect: DialectName,
): Promise<Bisection> {
  const near = dialect === "f64" ? "f32" : dialect;
  const pass = async (
    name: DialectName,
  ): Promise<[Transformer["config"], ReadonlyMap<string, HostTensor>]> => {
    await using model = await open(name);
    return [model.config, await stepByStep(model.transformer, theirs)];
  };
  const [config, ours] = await pass(near);
  const [, truth] = await pass("f64");
  const T = theirs.ids.length;
  const nearTies = findNearTies(config, theirs, ours, truth);

  const findings: Finding[] = [];
  for (const point of tracePoints(config.numLayers)) {
    const value = theirs.points.get(point);
    if (!value) continue;
    const isKnown = (other: string): boolean => theirs.points.has(other) && !other.endsWith(".sink");
    const stretch = stretchTo(point, config, isKnown);
    const isTie = unjudged(stretch.between, point, nearTies);
    const isMasked = attendsToMasked(point, theirs, config);
    const leaveOut = (token: number): boolean => isTie(token) || isMasked(token);
    const [firstToken] = tokensHeld(point, value, T);
    const judgement: Judgement & { ties?: number } = point.endsWith(".expert_ids")
      ? judgeChoices(point, theirs, ours, truth, leaveOut)
      : judge(point, value, ours.get(point)!, truth.get(point)!, { firstToken, leaveOut });
    const { error, noise, wrong, judged } = judgement;
    // an input that they recorded for the first tokens only was ours at the others
    const holds = (other: string): boolean =>
      isKnown(other) && tokensHeld(other, theirs.points.get(other)!, T)[1] > (wrong[0] ?? 0);
    const { from, between } = stretchTo(point, config, holds);
    const isExplained = findings.some((f) => f.verdict === "differs" && between.includes(f.point));
    findings.push({
      point,
      op: stepOf(point, config)!.op,
      from,
      between,
      verdict:
        judged === 0 || (wrong.length > 0 && isExplained) ? "unjudged" : wrong.length ? "differs" : "agrees",
      error,
      noise,
      tokens: wrong,
      judged,
      suspects: adviceOn(point)?.seen ?? "",
      ...(judgement.ties !== undefined && { ties: judgement.ties }),
    });
  }
  const first = findings.find(({ verdict }) => verdict === "differs");
  return { findings, first, tokens: T, dialect: near, ignored: theirs.ignored };
}

/** What we compute at each of their points, and at the routers, when everything that they recorded takes the place of ours. */
async function stepByStep(
  transformer: Transformer,
  theirs: Theirs,
): Promise<ReadonlyMap<string, HostTensor>> {
  const T = theirs.ids.length;
  const computed = new Map<string, HostTensor>();
  const watched = [...theirs.points.keys(), "layers.*.moe.router_logits", "layers.*.moe.expert_ids"].join();
  const hooks = (start: number): Record<string, Hook> => {
    const force = forcing(theirs, start);
    return {
      [watched]: (value, point) => {
        const like = theirs.points.get(point) ?? { shape: [T, value.shape[1]!], data: value.data };
        let whole = computed.get(point);
        if (!whole) {
          const length = like.shape.reduce((a, b) => a * b, 1);
          whole = { shape: like.shape, data: new Float64Array(length) };
          computed.set(point, whole);
        }
        layOut(point, value, like, start, T, whole.data);
        return force(value, point);
      },
    };
  };
  await trace(transformer, theirs.ids, { points: "logits", hooks });
  return computed;
}

type Values = ReadonlyMap<string, HostTensor>;

/** The logits that a token's choice is made from: theirs, if they recorded them, and how far ours stray from float64. */
function choiceOf(
  layer: number,
  token: number,
  { points }: Pick<Theirs, "points">,
  ours: Values,
  truth: Values,
): { logits: HostTensor["data"]; width: number } {
  const point = `layers.${layer}.moe.router_logits`;
  const exact = truth.get(point)!;
  const recorded = points.get(point);
  const n = exact.shape.at(-1)!;
  const row = ({ data }: HostTensor): HostTensor["data"] => data.subarray(token * n, (token + 1) * n);
  if (recorded && recorded.shape[0]! > token)
    return { logits: row(recorded), width: tieWidth(0, row(recorded)) };
  const near = row(ours.get(point)!);
  const noise = Math.max(...Array.from(row(exact), (x, expert) => Math.abs(x - near[expert]!)));
  return { logits: row(exact), width: tieWidth(noise, row(exact)) };
}

/** The k-th largest. */
function kthOf(logits: HostTensor["data"], k: number): number {
  return logits.slice().sort()[logits.length - k]!;
}

/** Tokens whose experts nobody can tell, by layer: those that they don't name, and that rounding decides. */
function findNearTies(
  config: Transformer["config"],
  theirs: Theirs,
  ours: Values,
  truth: Values,
): ReadonlyMap<number, readonly number[]> {
  const k = config.expertsPerToken;
  const ties = new Map<number, number[]>();
  for (let layer = 0; layer < config.numLayers && k < config.numExperts; layer++) {
    const named = theirs.points.get(`layers.${layer}.moe.expert_ids`)?.shape[0] ?? 0;
    for (let token = named; token < theirs.ids.length; token++) {
      const { logits, width } = choiceOf(layer, token, theirs, ours, truth);
      if (kthOf(logits, k) - kthOf(logits, k + 1) > width) continue;
      ties.set(layer, [...(ties.get(layer) ?? []), token]);
    }
  }
  return ties;
}

/** Tokens that near ties keep from being judged at a point that is computed by way of unrecorded `between`. */
function unjudged(
  between: readonly string[],
  point: string,
  nearTies: ReadonlyMap<number, readonly number[]>,
): (token: number) => boolean {
  const tokens = new Set<number>();
  let from = Number.POSITIVE_INFINITY;
  for (const [layer, ties] of nearTies) {
    if (!between.includes(`layers.${layer}.moe.expert_ids`)) {
      // named for fewer tokens than the point has, or known altogether
      if (!point.startsWith(`layers.${layer}.moe.`) || /norm|router_logits|expert_ids$/.test(point)) continue;
    }
    for (const token of ties) tokens.add(token);
    // attention of a later layer carries them to all later tokens
    const isCarried = between.some((p) => p.endsWith(".attn.norm") && Number(p.split(".")[1]) > layer);
    if (isCarried) from = Math.min(from, ties[0]!);
  }
  return (token) => token >= from || tokens.has(token);
}

/** Tokens whose recorded attention reaches keys that ours has masked, and doesn't read: their scores differ, not the context. */
function attendsToMasked(
  point: string,
  { points }: Theirs,
  { layerTypes, slidingWindow, numAttentionHeads: heads }: Transformer["config"],
): (token: number) => boolean {
  const weights = points.get(point.replace(/context$/, "weights"));
  const isSliding = layerTypes[Number(point.split(".")[1])] === "sliding";
  if (!point.endsWith(".context") || !weights || !isSliding) return () => false;
  const T = weights.shape[1]!;
  return (token) => {
    const masked = Math.max(0, token - slidingWindow + 1);
    return Array.from({ length: token < T ? heads : 0 }, (_, head) => (head * T + token) * T).some((row) =>
      weights.data.subarray(row, row + masked).some((weight) => weight !== 0),
    );
  };
}

/** Their choice of experts, by the logits that it was made from. */
function judgeChoices(
  point: string,
  theirs: Theirs,
  ours: Values,
  truth: Values,
  leaveOut: (token: number) => boolean,
): Judgement & { ties: number } {
  const { shape, data } = theirs.points.get(point)!;
  const layer = Number(point.split(".")[1]);
  const k = data.length / shape[0]!;
  const wrong: number[] = [];
  let [wrongChoices, ties, judged] = [0, 0, 0];
  for (let token = 0; token < shape[0]!; token++) {
    if (leaveOut(token)) continue;
    const chosen = new Set(data.subarray(token * k, (token + 1) * k));
    const { logits, width } = choiceOf(layer, token, theirs, ours, truth);
    if (!logits.every(Number.isFinite)) continue; // an order is what NaN hasn't
    judged++;
    const best = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]!);
    const least = logits[best[k - 1]!]!;
    const others = [...chosen].filter((expert) => !best.slice(0, k).includes(expert));
    const beyond = others.filter((expert) => !(least - logits[expert]! <= width)).length;
    ties += others.length - beyond;
    wrongChoices += beyond + k - chosen.size;
    if (beyond > 0 || chosen.size < k) wrong.push(token);
  }
  return { error: wrongChoices / (judged * k || 1), noise: 0, wrong, judged, ties };
}

/** Points that a trace needs for a verdict on each operation of a finding, as a glob. */
export function pointsToCapture({ point, between }: Pick<Finding, "point" | "between">): string {
  const halves = new Set(
    [...between, point].map((name) => name.replace(/\w+$/, "*")).filter((name) => name !== "*"),
  );
  // over several halves of layers, the residual stream narrows it down first
  if (halves.size === 1) return [...halves].join();
  const residuals = between.filter(pointMatcher("*.residual"));
  return (residuals.length > 0 ? residuals : [...halves]).join();
}
