import { UsageError } from "../errors.ts";
import { log } from "../numerics/elementary.ts";
import type { Trace } from "../oracle/trace.ts";

/** How one layer's router spreads tokens over its experts. */
export interface LayerRouting {
  readonly layer: number;
  /** Share of all choices that each expert gets, [experts]; they sum to 1. */
  readonly load: readonly number[];
  /** Entropy of the load in bits: log₂ of the number of experts if all are used alike, 0 if one gets everything. */
  readonly entropy: number;
  /** Mean weight of each expert where it is chosen, [experts]; 0 if it never is. */
  readonly weight: readonly number[];
  /** Share of tokens that choose both experts, [experts][experts]; on the diagonal, those that choose one. */
  readonly together: readonly (readonly number[])[];
  /** Load by class of token. */
  readonly byClass: ReadonlyMap<string, readonly number[]>;
}

/**
 * Statistics of the routers.
 *
 * @param activations with `layers.*.moe.router_logits`, `.expert_ids` and `.expert_weights`
 * @param classOf says what kind of token one is, for `byClass`; undefined leaves it out there
 */
export function routing(
  activations: Trace,
  classOf: (id: number, position: number) => string | undefined = () => undefined,
): LayerRouting[] {
  const tokenIds = activations.get("ids")?.data ?? new Int32Array();
  const layers: LayerRouting[] = [];
  for (const [point, { shape, data: ids }] of activations) {
    const layer = /^layers\.(\d+)\.moe\.expert_ids$/.exec(point)?.[1];
    if (layer === undefined) continue;
    const [T, k] = shape as [number, number];
    const E = activations.get(`layers.${layer}.moe.router_logits`)?.shape[1];
    const weights = activations.get(`layers.${layer}.moe.expert_weights`)?.data;
    if (E === undefined || weights === undefined) {
      throw new UsageError("the activations don't have all that routing needs", {
        where: `layer ${layer}`,
        expected: "layers.*.moe.router_logits, .expert_ids and .expert_weights",
      });
    }
    const count = new Array<number>(E).fill(0);
    const sum = new Array<number>(E).fill(0);
    const pairs = count.map(() => new Array<number>(E).fill(0));
    const byClass = new Map<string, number[]>();
    for (let t = 0; t < T; t++) {
      const chosen = ids.subarray(t * k, (t + 1) * k);
      const kind = classOf(tokenIds[t]!, t);
      if (kind !== undefined && !byClass.has(kind)) byClass.set(kind, new Array<number>(E).fill(0));
      for (const [rank, a] of chosen.entries()) {
        count[a]!++;
        sum[a]! += weights[t * k + rank]!;
        if (kind !== undefined) byClass.get(kind)![a]!++;
        for (const b of chosen) pairs[a]![b]! += 1 / T;
      }
    }
    const load = shares(count);
    layers.push({
      layer: Number(layer),
      load,
      entropy: load.reduce((h, p) => (p > 0 ? h - (p * log(p)) / Math.LN2 : h), 0),
      weight: sum.map((total, e) => (count[e] ? total / count[e] : 0)),
      together: pairs,
      byClass: new Map([...byClass].map(([kind, counts]) => [kind, shares(counts)])),
    });
  }
  return layers;
}

function shares(counts: readonly number[]): number[] {
  const total = counts.reduce((a, b) => a + b, 0);
  return counts.map((n) => n / total);
}
