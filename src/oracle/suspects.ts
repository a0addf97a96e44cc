/** What was wrong in other runtimes where an operation differed, by the last part of its trace point. */
export const SUSPECTS: Readonly<Record<string, string>> = {
  embedding: "wrong row or scale: gpt-oss scales no embedding and adds no first token",
  "attn.norm": "ε (1e-5), the scale multiplied after rounding, another layer's scale",
  "attn.q": "bias left out, q/k/v split at the wrong rows, interleaved (Metal) weights",
  "attn.k": "bias left out, q/k/v split at the wrong rows, interleaved (Metal) weights",
  "attn.v": "bias left out, q/k/v split at the wrong rows",
  "attn.q_rope":
    "YaRN left out or truncated (gpt-oss: truncate false), concentration 1.347 left out, pairs 2i with 2i + 1",
  "attn.k_rope":
    "YaRN left out or truncated (gpt-oss: truncate false), concentration 1.347 left out, pairs 2i with 2i + 1",
  "attn.scores":
    "scale (1/√headDim), window off by one (128 keys with the query's own), windows on the wrong layers, query heads mapped to other key heads",
  "attn.weights": "sink left out, scaled, or taken from another head or layer",
  "attn.sink": "sink left out, scaled, or taken from another head or layer",
  "attn.context": "heads mapped to other value heads, values of the wrong positions (a cache that wrapped)",
  "attn.out": "bias left out or added once a shard, heads in another order",
  "attn.residual": "the normed input added in the place of the residual stream",
  "moe.norm": "ε (1e-5), attention's scale in the place of the experts'",
  "moe.router_logits": "bias left out, computed from the input that isn't normed",
  "moe.expert_ids": "another number of experts, near ties, ids counted within a shard",
  "moe.expert_weights": "softmax over all experts ahead of the choice, not renormalised",
  "moe.gate_up":
    "MXFP4 (nibbles swapped, scale exponent off by one), gate and up not interleaved, the bias of another expert",
  "moe.swiglu":
    "no clamp at 7, gate clamped from below, + 1 left out, α other than 1.702, gate and up swapped",
  "moe.down": "MXFP4, the bias left out or another expert's",
  "moe.out": "bias outside the weighted sum, weights applied twice, sum in another precision",
  "moe.residual": "overflow of float16, the normed input added in the place of the residual stream",
  norm: "ε (1e-5), a layer's scale in the place of the final one",
  logits: "the embedding in the place of the unembedding (gpt-oss's are not tied)",
};

export function suspectsOf(point: string): string {
  return SUSPECTS[point.replace(/^layers\.\d+\./, "")] ?? "";
}
