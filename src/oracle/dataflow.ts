import type { ModelConfig } from "../config.ts";

/** What computes a trace point, from which other points: `src/model` as a graph. */
export interface Step {
  /** The operation, for people. */
  readonly op: string;
  /** Points that it reads; `ids` are the token ids. */
  readonly inputs: readonly string[];
  /** Values a token, at points of shape [T, …]; undefined at [heads, T, T] and [heads, T]. */
  readonly width: number | undefined;
}

/** The step that computes a point, or undefined if the model has no such point. */
export function stepOf(point: string, config: ModelConfig): Step | undefined {
  const { numLayers, hiddenSize: hidden, vocabSize } = config;
  const last = `layers.${numLayers - 1}.moe.residual`;
  if (point === "embedding") return { op: "embedding", inputs: ["ids"], width: hidden };
  if (point === "norm") return { op: "final RMSNorm", inputs: [last], width: hidden };
  if (point === "logits") return { op: "unembedding", inputs: ["norm"], width: vocabSize };
  const [, index, half, name] = /^layers\.(0|[1-9]\d{0,3})\.(attn|moe)\.(\w+)$/.exec(point) ?? [];
  const layer = Number(index);
  if (name === undefined || layer >= numLayers) return undefined;
  const steps = half === "attn" ? attentionSteps(config) : moeSteps(config);
  const step = Object.hasOwn(steps, name) ? steps[name] : undefined;
  if (!step) return undefined;
  const [op, inputs, width] = step;
  const before = layer === 0 ? "embedding" : `layers.${layer - 1}.moe.residual`;
  const stream = half === "attn" ? before : `layers.${layer}.attn.residual`;
  return {
    op,
    inputs: inputs.map((input) => (input === "x" ? stream : `layers.${layer}.${half}.${input}`)),
    width,
  };
}

/** Operation, inputs (x is the residual stream that the half layer begins with), values a token. */
type Steps = Readonly<Record<string, readonly [string, readonly string[], number | undefined]>>;

function attentionSteps({ hiddenSize, numAttentionHeads, numKeyValueHeads, headDim }: ModelConfig): Steps {
  const [q, kv] = [numAttentionHeads * headDim, numKeyValueHeads * headDim];
  return {
    norm: ["RMSNorm ahead of attention", ["x"], hiddenSize],
    q: ["projection of the queries", ["norm"], q],
    k: ["projection of the keys", ["norm"], kv],
    v: ["projection of the values", ["norm"], kv],
    q_rope: ["RoPE of the queries", ["q"], q],
    k_rope: ["RoPE of the keys", ["k"], kv],
    scores: ["scores: q · k, scale, mask", ["q_rope", "k_rope"], undefined],
    weights: ["softmax with sink", ["scores"], undefined],
    sink: ["softmax with sink", ["scores"], undefined],
    context: ["weights · values", ["weights", "v"], q],
    out: ["output projection of attention", ["context"], hiddenSize],
    residual: ["residual addition after attention", ["x", "out"], hiddenSize],
  };
}

function moeSteps({ hiddenSize, numExperts, expertsPerToken: k, intermediateSize: ffn }: ModelConfig): Steps {
  return {
    norm: ["RMSNorm ahead of the experts", ["x"], hiddenSize],
    router_logits: ["router", ["norm"], numExperts],
    expert_ids: ["choice of the experts", ["router_logits"], k],
    expert_weights: ["softmax over the chosen experts", ["router_logits", "expert_ids"], k],
    gate_up: ["gate and up projection of the experts", ["norm", "expert_ids"], k * 2 * ffn],
    swiglu: ["clamped SwiGLU", ["gate_up"], k * ffn],
    down: ["down projection of the experts", ["swiglu", "expert_ids"], k * hiddenSize],
    out: ["weighted sum over the experts", ["down", "expert_weights", "expert_ids"], hiddenSize],
    residual: ["residual addition after the experts", ["x", "out"], hiddenSize],
  };
}

/** What lies between a point and the nearest known ones ahead of it. */
export interface Stretch {
  /** Known points (or `ids`) that it starts from. */
  readonly from: readonly string[];
  /** Points on the way that aren't known, in forward order. */
  readonly between: readonly string[];
}

/** Walks back from a point to what is known. */
export function stretchTo(point: string, config: ModelConfig, isKnown: (point: string) => boolean): Stretch {
  const from = new Set<string>();
  const between = new Set<string>();
  const visit = (at: string): void => {
    for (const input of stepOf(at, config)?.inputs ?? []) {
      if (input === "ids" || isKnown(input)) from.add(input);
      else if (!between.has(input)) {
        visit(input);
        between.add(input); // behind what it is computed from
      }
    }
  };
  visit(point);
  return { from: [...from], between: [...between] };
}
