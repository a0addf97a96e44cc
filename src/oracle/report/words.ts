import { adviceOn } from "../advice.ts";
import { type Comparison, diverges, type PointDistance } from "../compare.ts";
import { groupOf } from "../noise-floor.ts";
import { inputsOf } from "../steps.ts";

/** What a point is called in a sentence. */
interface Op {
  readonly words: string;
  readonly plural?: true;
}

const OPS: Readonly<Record<string, Op>> = {
  embedding: { words: "the embedding" },
  "attn.norm": { words: "the norm ahead of attention" },
  "attn.q": { words: "the queries", plural: true },
  "attn.k": { words: "the keys", plural: true },
  "attn.v": { words: "the values", plural: true },
  "attn.q_rope": { words: "the rotated queries", plural: true },
  "attn.k_rope": { words: "the rotated keys", plural: true },
  "attn.scores": { words: "the scores", plural: true },
  "attn.weights": { words: "the weights", plural: true },
  "attn.sink": { words: "the sink's share" },
  "attn.context": { words: "the weighted values", plural: true },
  "attn.out": { words: "the output projection" },
  "attn.residual": { words: "the residual sum" },
  "moe.norm": { words: "the norm ahead of the experts" },
  "moe.router_logits": { words: "the router's logits", plural: true },
  "moe.expert_ids": { words: "the choice of experts" },
  "moe.expert_weights": { words: "the experts' weights", plural: true },
  "moe.gate_up": { words: "gate and up", plural: true },
  "moe.swiglu": { words: "SwiGLU" },
  "moe.down": { words: "the down projection" },
  "moe.out": { words: "the weighted sum of the experts" },
  "moe.residual": { words: "the residual sum" },
  norm: { words: "the last norm" },
  logits: { words: "the logits", plural: true },
};

/** "attention of layer 3", or "the end of the model". */
export function placeOf(point: string): string {
  const { group, layer } = groupOf(point);
  if (layer === undefined)
    return group === "embedding" || group === "ids" ? "the start" : "the end of the model";
  return `${group.startsWith("attn") ? "attention" : "experts"} of layer ${layer}`;
}

/** One sentence on where the two part, and what to look at. */
export function conclusion({ points, firstDivergence, routing }: Comparison): string {
  if (!firstDivergence) {
    const many = points.length === 1 ? "the one point" : `all ${points.length} points`;
    const { flips } = routing;
    const routed =
      flips.length === 0 ? "" : `; ${flips.length} of ${routing.compared} routings flip, as near ties do`;
    return `No divergence: ${many} within the noise of the two dialects${routed}.`;
  }
  const { point, firstToken, mismatch } = firstDivergence;
  const { group } = groupOf(point);
  if (mismatch) return `${capital(placeOf(point))}: ${point} can't be compared, ${mismatch}.`;
  if (point === "ids")
    return `The prompts differ, from token ${firstToken} on: these are traces of different texts.`;
  const parted = OPS[group]?.plural ? "part" : "parts";
  const from = firstToken === 0 ? "from the first token on" : `from token ${firstToken} on`;
  const known = agreeing(firstDivergence, points);
  return `${capital(placeOf(point))}: ${known}${OPS[group]?.words ?? group} ${parted} ${from}: ${lookAt(firstDivergence, routing)}.`;
}

/** "scores agree, ", or what lies between the last agreement and this point. */
function agreeing({ point }: PointDistance, points: readonly PointDistance[]): string {
  const layers = 1 + points.reduce((last, other) => Math.max(last, groupOf(other.point).layer ?? -1), -1);
  const seen = new Map(points.map((other) => [other.point, other]));
  const inputs = inputsOf(point, layers);
  const good = inputs.filter((input) => seen.has(input) && !diverges(seen.get(input)!));
  const unseen = inputs.filter((input) => !seen.has(input));
  const name = (input: string): string => {
    const { group, layer } = groupOf(input);
    const here = groupOf(point).layer;
    return `${OPS[group]?.words ?? group}${layer !== undefined && layer !== here ? ` of layer ${layer}` : ""}`;
  };
  if (inputs.length > 0 && unseen.length === 0 && good.length > 0)
    return `${good.map(name).join(" and ")} ${good.length > 1 || OPS[groupOf(good[0]!).group]?.plural ? "agree" : "agrees"}, `;
  const at = points.findIndex((other) => other.point === point);
  const last = points[at - 1];
  return unseen.length > 0 && last ? `${last.point} agrees, what lies between is not in both traces, ` : "";
}

/** What is mostly wrong where a point is the first to part. */
function lookAt(distance: PointDistance, routing: Comparison["routing"]): string {
  const { point, firstToken = 0, factor, offset, masks, relativeRms } = distance;
  const { group, layer } = groupOf(point);
  const times = factor === undefined ? undefined : factor.toPrecision(3);
  if (group === "moe.expert_ids") {
    const flip = routing.flips.find((f) => f.layer === layer && f.token === firstToken);
    if (!flip) return "more flips than noise makes: look at the router";
    const gap =
      flip.gap === undefined
        ? ""
        : `, whose logits are ${flip.gap.toPrecision(2)} apart where noise is ${flip.noise?.toPrecision(2)}`;
    return `experts ${flip.expertsA.join(", ")} instead of ${flip.expertsB.join(", ")}${gap}: look at the top-k`;
  }
  if (masks)
    return masks.shownByA > masks.differing / 2
      ? "it sees keys that should be masked: look at the causal mask and the sliding window (128 keys, the token itself included)"
      : "it masks keys that should be seen: look at the sliding window (128 keys, the token itself included) and which layers have one";
  if (offset)
    return `the same vector is ${relativeRms > 0 ? "missing or added" : "added"} at every token: look at the bias`;
  if (times !== undefined && times !== "1.00")
    return `it is ${times} times what it should be: look at ${SCALES[group] ?? "a scale"}`;
  if (/_rope$/.test(group))
    return firstToken === 0
      ? "position 0 already: look at the pairs of dimensions (i with i + half) and YaRN's concentration"
      : "look at the positions, the base and YaRN's range, which gpt-oss does not truncate";
  if (group === "attn.weights")
    return firstToken === 0
      ? "look at the sinks in the softmax's denominator"
      : "look at the sliding window and the mask";
  return `look at ${adviceOn(point)?.look ?? "this operation"}`;
}

const SCALES: Readonly<Record<string, string>> = {
  "attn.q": "the scale 1/√d, which belongs to the scores",
  "attn.q_rope": "YaRN's concentration, 0.1 · ln(factor) + 1",
  "attn.k_rope": "YaRN's concentration, 0.1 · ln(factor) + 1",
  "attn.scores": "the scale 1/√d",
  "attn.weights": "the sinks in the softmax's denominator",
  "attn.norm": "the norm's eps and weights",
  "moe.norm": "the norm's eps and weights",
  "moe.out": "whether the experts' weights sum to 1",
};

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
