/** Looking inside: activations, logit lens, patching, ablation, routers and attention. */
export { type ExpertsByLayer, removeExperts, zeroExperts } from "./ablate.ts";
export { attentionHeads, type Head } from "./heads.ts";
export { type LensView, logitLens, mostProbable } from "./lens.ts";
export { logitDifference, type Metric, type Patching, type PatchOptions, patch } from "./patch.ts";
export { type LayerRouting, routing } from "./routing.ts";
export { type Input, idsOf, runWithCache } from "./run.ts";
