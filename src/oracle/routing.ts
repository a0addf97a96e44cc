import type { NoiseFloor } from "./noise-floor.ts";
import type { Trace } from "./trace.ts";

/** A token that the two runs send to different sets of experts. */
export interface Flip {
  readonly layer: number;
  readonly token: number;
  readonly expertsA: readonly number[];
  readonly expertsB: readonly number[];
  /** How far apart the router logits are, in B or A, whichever is more, of the experts that changed places; if known. */
  readonly gap: number | undefined;
  /** How far noise may move that difference. */
  readonly noise: number | undefined;
  /** Whether noise explains it. Undefined where no router logits are at hand, or the token has flipped in a layer before. */
  readonly benign: boolean | undefined;
  /** The token's routing has flipped in a layer before, or it attends to one whose has. */
  readonly afterFlip: boolean;
}

/** Where routing parted, and which tokens that touches. */
export interface Routing {
  readonly flips: readonly Flip[];
  /** (layer, token) pairs of which both traces tell the experts. */
  readonly compared: number;
  /** Whether both traces tell a layer's experts. */
  knows(layer: number): boolean;
  /** Whether the sets of experts differ. */
  differs(layer: number, token: number): boolean;
  /** First layer in which a token's experts differ. */
  flippedAt(token: number): number;
  /** The first token that has flipped in a layer before this one: from there on, attention may carry it further. */
  firstFlipped(layer: number): number;
}

/** Compares the experts that two runs chose, layer by layer. */
export function compareRouting(a: Trace, b: Trace, layers: readonly number[], floor: NoiseFloor): Routing {
  const flips: Flip[] = [];
  const firstLayer = new Map<number, number>();
  const firstFlipped = (layer: number): number => {
    let first = Number.POSITIVE_INFINITY;
    for (const [token, at] of firstLayer) if (at < layer && token < first) first = token;
    return first;
  };
  const known = new Set<number>();
  let compared = 0;
  for (const layer of layers) {
    const [idsA, idsB] = [a, b].map((trace) => trace.get(`layers.${layer}.moe.expert_ids`));
    const k = idsB?.shape.at(-1) ?? 0;
    if (!idsA || !idsB || idsA.shape.at(-1) !== k) continue;
    const T = Math.min(idsA.shape[0]!, idsB.shape[0]!);
    compared += T;
    known.add(layer);
    const earliest = firstFlipped(layer);
    const found: number[] = [];
    for (let token = 0; token < T; token++) {
      const chosenA = Array.from(idsA.data.subarray(token * k, (token + 1) * k));
      const chosenB = Array.from(idsB.data.subarray(token * k, (token + 1) * k));
      const onlyA = chosenA.filter((id) => !chosenB.includes(id));
      const onlyB = chosenB.filter((id) => !chosenA.includes(id));
      if (onlyA.length === 0 && onlyB.length === 0) continue;
      const direct = firstLayer.has(token);
      const afterFlip = direct || token > earliest;
      const gap = widestGap(layer, token, a, b, onlyA, onlyB);
      const noise = logitNoise(layer, b, floor, afterFlip);
      const known = gap !== undefined && noise !== undefined && !direct;
      flips.push({
        layer,
        token,
        expertsA: onlyA,
        expertsB: onlyB,
        gap,
        noise,
        benign: known ? gap <= noise : undefined,
        afterFlip,
      });
      if (!direct) found.push(token);
    }
    for (const token of found) firstLayer.set(token, layer);
  }
  const differing = new Set(flips.map(({ layer, token }) => `${layer} ${token}`));
  return {
    flips,
    compared,
    knows: (layer) => known.has(layer),
    differs: (layer, token) => differing.has(`${layer} ${token}`),
    flippedAt: (token) => firstLayer.get(token) ?? Number.POSITIVE_INFINITY,
    firstFlipped,
  };
}

/** Each run put its own experts ahead of the other's: by how much, in its own logits. */
function widestGap(
  layer: number,
  token: number,
  a: Trace,
  b: Trace,
  onlyA: number[],
  onlyB: number[],
): number | undefined {
  const gaps = [[a, onlyA, onlyB] as const, [b, onlyB, onlyA] as const].map(([trace, chosen, left]) => {
    const logits = trace.get(`layers.${layer}.moe.router_logits`);
    const experts = logits?.shape.at(-1);
    if (!logits || !experts) return undefined;
    const row = logits.data.subarray(token * experts, (token + 1) * experts);
    return (
      Math.max(...chosen.map((id) => row[id] ?? Number.NaN)) -
      Math.min(...left.map((id) => row[id] ?? Number.NaN))
    );
  });
  const known = gaps.filter((gap) => gap !== undefined);
  return known.length === 0 ? undefined : Math.max(...known.map(Math.abs));
}

/** Noise of the difference of two router logits: twice that of one, whose floor is relative to the rms of all. */
function logitNoise(layer: number, b: Trace, floor: NoiseFloor, afterFlip: boolean): number | undefined {
  const point = `layers.${layer}.moe.router_logits`;
  const logits = b.get(point);
  if (!logits) return undefined;
  let squares = 0;
  for (const x of logits.data) squares += x * x;
  const rms = Math.sqrt(squares / logits.data.length);
  const { clean, downstream } = floor.at(point);
  return 2 * rms * (afterFlip ? downstream : clean);
}
