import { UsageError } from "../errors.ts";
import type { Hooks } from "../model/hooks.ts";

/** Numbers of experts, by layer. */
export type ExpertsByLayer = Readonly<Record<number, readonly number[]>>;

/**
 * Hooks that take experts out of the routing: each token gets its best four of the others, and their weights sum to 1 (the router's
 * logit is −∞ from then on). What the model does without them.
 */
export function removeExperts(experts: ExpertsByLayer): Hooks {
  return Object.fromEntries(
    Object.entries(experts).map(([layer, removed]) => [
      `layers.${layer}.moe.router_logits`,
      ({ shape, data }) => {
        const n = shape[1]!;
        checkExperts(removed, n, layer);
        if (new Set(removed).size >= n)
          throw new UsageError("no expert is left", { where: `layer ${layer}` });
        const logits = data.slice();
        for (let row = 0; row < data.length; row += n)
          for (const expert of removed) logits[row + expert] = Number.NEGATIVE_INFINITY;
        return { shape, data: logits };
      },
    ]),
  );
}

/**
 * Hooks that let experts be chosen, but output 0: zero ablation. Nothing takes their place, and the others' weights stay as
 * they are. What these experts add to the residual stream.
 */
export function zeroExperts(experts: ExpertsByLayer): Hooks {
  const hooks: Record<string, Hooks[string]> = {};
  for (const [layer, zeroed] of Object.entries(experts)) {
    let chosen = new Int32Array();
    hooks[`layers.${layer}.moe.router_logits`] = ({ shape }) => checkExperts(zeroed, shape[1]!, layer);
    hooks[`layers.${layer}.moe.expert_ids`] = ({ data }) => {
      chosen = Int32Array.from(data);
    };
    hooks[`layers.${layer}.moe.down`] = ({ shape, data }) => {
      const width = shape[2]!;
      const outputs = data.slice();
      for (const [slot, expert] of chosen.entries())
        if (zeroed.includes(expert)) outputs.fill(0, slot * width, (slot + 1) * width);
      return { shape, data: outputs };
    };
  }
  return hooks;
}

function checkExperts(experts: readonly number[], n: number, layer: string): void {
  const bad = experts.find((expert) => !(Number.isInteger(expert) && expert >= 0 && expert < n));
  if (bad === undefined) return;
  throw new UsageError("no such expert", { where: `layer ${layer}`, expected: `0 to ${n - 1}`, found: bad });
}
