/** What is told of an operation that is the first to differ. */
interface Advice {
  /** What it has to be: where to look. */
  readonly look: string;
  /** What was wrong there in other runtimes. */
  readonly seen: string;
}

/** By a trace point's name without its layer. */
const ADVICE: Readonly<Record<string, Advice>> = {
  embedding: {
    look: "rows of the embedding by id, from 0; no scaling",
    seen: "wrong row or scale: gpt-oss scales no embedding and adds no first token",
  },
  "attn.norm": {
    look: "RMSNorm: x / √(mean(x²) + 1e-5) · weight, in float32 and rounded once; no + 1 on the weight",
    seen: "ε (1e-5), the scale multiplied after rounding, another layer's scale",
  },
  "attn.q": {
    look: "the projection and its bias; in fused weights q rows come first, then k, then v",
    seen: "bias left out, q/k/v split at the wrong rows, interleaved (Metal) weights",
  },
  "attn.k": {
    look: "the projection and its bias; the rows of k follow those of q",
    seen: "bias left out, q/k/v split at the wrong rows, interleaved (Metal) weights",
  },
  "attn.v": {
    look: "the projection and its bias; the rows of v follow those of k",
    seen: "bias left out, q/k/v split at the wrong rows",
  },
  "attn.q_rope": {
    look: "rotation in halves (i with i + d/2), YaRN with truncate false, the factor 0.1 · ln(32) + 1 = 1.3466 on cos and sin, positions from 0",
    seen: "YaRN left out or truncated (gpt-oss: truncate false), concentration 1.347 left out, pairs 2i with 2i + 1",
  },
  "attn.k_rope": {
    look: "the same rotation as of q, by the key's own position",
    seen: "YaRN left out or truncated (gpt-oss: truncate false), concentration 1.347 left out, pairs 2i with 2i + 1",
  },
  "attn.scores": {
    look: "scale 1/√d; query head h with key head ⌊h / group⌋; the causal mask; the window of 128 on layers 0, 2, 4 …, the token itself included",
    seen: "scale (1/√headDim), window off by one (128 keys with the query's own), windows on the wrong layers, query heads mapped to other key heads",
  },
  "attn.weights": {
    look: "the softmax has one column more, the sink: a logit as it is stored, neither scaled nor rotated; rows sum to less than 1",
    seen: "sink left out, scaled, or taken from another head or layer",
  },
  "attn.sink": {
    look: "the sink's share of the softmax; one learnt logit a query head, in all layers",
    seen: "sink left out, scaled, or taken from another head or layer",
  },
  "attn.context": {
    look: "weights · v, with the key head of each query head; the sink brings no value",
    seen: "heads mapped to other value heads, values of the wrong positions (a cache that wrapped)",
  },
  "attn.out": {
    look: "the output projection and its bias",
    seen: "bias left out or added once a shard, heads in another order",
  },
  "attn.residual": {
    look: "the sum with the block's input, not with what the norm made of it",
    seen: "the normed input added in the place of the residual stream",
  },
  "moe.norm": {
    look: "the second RMSNorm, of the residual after attention",
    seen: "ε (1e-5), attention's scale in the place of the experts'",
  },
  "moe.router_logits": {
    look: "the router's weight and its bias, of the normed input",
    seen: "bias left out, computed from the input that isn't normed",
  },
  "moe.expert_ids": {
    look: "the top 4 of the logits as they are; of equals the lower id first",
    seen: "another number of experts, near ties, ids counted within a shard",
  },
  "moe.expert_weights": {
    look: "softmax over the 4 chosen logits alone, not over all and not renormalised from there",
    seen: "softmax over all experts ahead of the choice, not renormalised",
  },
  "moe.gate_up": {
    look: "MXFP4: low nibble first, scale 2^(byte − 127), blocks of 32 along the input; then the bias; gate and up alternate",
    seen: "MXFP4 (nibbles swapped, scale exponent off by one), gate and up not interleaved, the bias of another expert",
  },
  "moe.swiglu": {
    look: "gate clamped at 7 from above, up between −7 and 7; gate · σ(1.702 · gate) · (up + 1)",
    seen: "no clamp at 7, gate clamped from below, + 1 left out, α other than 1.702, gate and up swapped",
  },
  "moe.down": {
    look: "the second product and its bias",
    seen: "MXFP4, the bias left out or another expert's",
  },
  "moe.out": {
    look: "the sum over the experts, weighted after the bias was added",
    seen: "bias outside the weighted sum, weights applied twice, sum in another precision",
  },
  "moe.residual": {
    look: "the sum with the residual after attention",
    seen: "overflow of float16, the normed input added in the place of the residual stream",
  },
  norm: {
    look: "the last RMSNorm",
    seen: "ε (1e-5), a layer's scale in the place of the final one",
  },
  logits: {
    look: "the unembedding: a matrix of its own, not the embedding, without a bias",
    seen: "the embedding in the place of the unembedding (gpt-oss's are not tied)",
  },
};

export function adviceOn(point: string): Advice | undefined {
  return ADVICE[point.replace(/^layers\.\d+\./, "")];
}
