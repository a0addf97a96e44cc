import { pointMatcher } from "../../model/hooks.ts";
import { ATTENTION_MUTANTS } from "./attention.ts";
import type { Mutant } from "./mutant.ts";
import { ROPE_MUTANTS } from "./rope.ts";
import { ROUTER_MUTANTS } from "./router.ts";
import { STREAM_MUTANTS } from "./stream.ts";
import { SWIGLU_MUTANTS } from "./swiglu.ts";
import { WEIGHT_MUTANTS } from "./weights.ts";

/** Every known bug. */
export const MUTANTS: readonly Mutant[] = [
  ...ROPE_MUTANTS,
  ...ATTENTION_MUTANTS,
  ...ROUTER_MUTANTS,
  ...SWIGLU_MUTANTS,
  ...WEIGHT_MUTANTS,
  ...STREAM_MUTANTS,
];

/** Those whose names match a glob, commas between alternatives. */
export function mutantsMatching(glob: string): Mutant[] {
  const matches = pointMatcher(glob);
  return MUTANTS.filter(({ name }) => matches(name));
}

/** What looks like a bug and changes nothing beyond rounding, so that no logits can tell. */
export const EQUIVALENT: readonly { readonly name: string; readonly why: string }[] = [
  {
    name: "positions start at 1 (or anywhere else)",
    why: "RoPE turns queries and keys alike: scores depend on distances alone",
  },
  {
    name: "softmax over all experts, the chosen ones renormalised",
    why: "the common denominator cancels",
  },
  {
    name: "the concentration on queries alone, on keys alone, or multiplied into the scores once",
    why: "a score is a product: the three are one bug (concentration-once)",
  },
  {
    name: "the doubled MXFP4 table with the full scale, or a scale bias of 126",
    why: "both double the weights (mxfp4-scale-doubled)",
  },
  {
    name: "the sink dropped after the softmax and the rest renormalised",
    why: "that is a softmax without a sink (sinks-none)",
  },
  {
    name: "the upper clamp of gate after its activation",
    why: "7 · sigmoid(1.702 · 7) is 7 but for 5e-5 of it, less than any noise of float16 or bfloat16",
  },
  {
    name: "another order of the chosen experts, ids and weights together",
    why: "a sum doesn't depend on the order of its terms, beyond rounding",
  },
];

export { type Change, combined, type Family, type Mutant } from "./mutant.ts";
