import type { HostTensor } from "../engine/ops.ts";
import { ANYWHERE, type Convention, RULES, type Rules } from "./conventions.ts";
import { transpose } from "./formats/npy.ts";
import { tracePoints } from "./trace.ts";

export type { Convention } from "./conventions.ts";

/** Sizes that a trace may not tell by itself. */
export interface ShapeHints {
  readonly tokens?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly layers?: number;
}

export interface MappedTrace {
  readonly trace: Map<string, HostTensor>;
  /** Their name of each of our points. */
  readonly names: ReadonlyMap<string, string>;
  /** Names that mean nothing here. */
  readonly unknown: readonly string[];
  readonly convention: Convention;
}

/** Their name → ours, as in `{"h.#.attn": "layers.#.attn.out"}`; # stands for the layer's number in both. */
export type NameMap = Readonly<Record<string, string>>;

/** Renames the tensors of a file and brings them into our layout. */
export function mapNames(
  tensors: ReadonlyMap<string, HostTensor>,
  hints: ShapeHints = {},
  nameMap: NameMap = {},
): MappedTrace {
  const convention = recognise([...tensors.keys()], Object.keys(nameMap).length > 0);
  const found = new Map<string, { name: string; tensor: HostTensor }>();
  const unknown: string[] = [];
  const context = new Context(tensors, hints);
  for (const [name, tensor] of tensors) {
    const point = pointOf(name, tensor, convention, nameMap, context);
    if (point === undefined) unknown.push(name);
    else if (!found.has(point) || !/\.\d+$/.test(name)) found.set(point, { name, tensor });
  }
  const trace = new Map<string, HostTensor>();
  const names = new Map<string, string>();
  for (const [point, { name, tensor }] of found) {
    for (const [ours, value] of context.layout(point, tensor, found)) {
      if (trace.has(ours)) continue;
      trace.set(ours, value);
      names.set(ours, name);
    }
  }
  return { trace, names, unknown, convention };
}

function recognise(names: readonly string[], mapped: boolean): Convention {
  const has = (pattern: RegExp): boolean => names.some((name) => pattern.test(name));
  if (names.filter(isOurs).length > names.length / 2) return "ours";
  if (has(/(^|\.)blocks\.\d+\..*hook_/) || has(/^hook_embed$/)) return "transformer-lens";
  if (has(/^(attn_norm|l_out|ffn_inp|ffn_moe_\w+|Qcur)-\d+$/) || has(/^result_(norm|output)$/))
    return "llama.cpp";
  if (has(/(^|\.)block\.\d+/) || has(/(^|\.)unembedding/)) return "openai";
  if (has(/layernorm\.(output\.)?1$/) || has(/\.attn\.(qkv|o_proj|rotary_emb)/) || has(/self_attn\.attn/))
    return "vllm";
  if (
    has(/(^|\.)layers\.\d+/) ||
    has(/^(hidden_states|attentions|router_logits)\.\d+$/) ||
    has(/embed_tokens/)
  )
    return "transformers";
  return mapped ? "map" : "ours";
}

const OUR_POINT = new RegExp(
  `^(ids|${tracePoints(1)
    .map((point) => point.replace("layers.0", "layers\\.\\d{1,4}").replaceAll(/\.(?=[a-z])/g, "\\."))
    .join("|")})$`,
);

function isOurs(name: string): boolean {
  return OUR_POINT.test(name);
}

/** Our point for a name, or a step on the way to some (`layers.3.q+k+v`). */
function pointOf(
  name: string,
  tensor: HostTensor,
  convention: Convention,
  nameMap: NameMap,
  context: Context,
): string | undefined {
  const mapped = apply(nameMap, name);
  if (mapped !== undefined) return isOurs(mapped) ? mapped : undefined;
  if (isOurs(name)) return name;
  if (convention === "ours" || convention === "map") return undefined;
  const plain = name
    .replace(/^(?:_orig_mod\.|module\.|model\.|transformer\.|language_model\.)+/, "")
    .replace(/\[(\d+)\]/g, ".$1")
    .replace(/[.:_]output(?=$|\.\d+$)/, "")
    .replace(/\.input(?:\.0)?$/, ".input");
  const anywhere = apply(ANYWHERE, plain);
  if (anywhere) return anywhere;
  const states = /^hidden_states\.(\d+)$/.exec(plain);
  if (states) return context.hiddenState(Number(states[1]));
  const rules = RULES[convention];
  const layer = Number(
    /(?:layers|block|blocks|attentions|router_logits|-)[.]?(\d{1,4})/.exec(plain)?.[1] ?? 0,
  );
  const target = apply(rules, plain) ?? (plain.endsWith(".0") ? apply(rules, plain.slice(0, -2)) : undefined);
  if (target === undefined) return undefined;
  if (target === "before.moe.residual") return layer === 0 ? "embedding" : `layers.${layer - 1}.moe.residual`;
  if (target === "last.moe.residual") return `layers.${context.layers - 1}.moe.residual`;
  if (convention === "vllm" && !context.fused) {
    if (/^layers\.\d+\.attn$/.test(plain)) return `layers.${layer}.attn.residual`; // its first version added there
    if (/^layers\.\d+(\.mlp)?$/.test(plain)) return `layers.${layer}.moe.residual`;
  }
  // transformers' router returned (scores of all experts, ids) at first, and (logits, weights, ids) since
  if (target === "moe.expert_weights" && tensor.data instanceof Int32Array)
    return `layers.${layer}.moe.expert_ids`;
  return /^(embedding|norm|logits|ids)$/.test(target) ? target : `layers.${layer}.${target}`;
}

/** The rule for a name; # in the pattern is a number, and is put into the target where that has one too. */
function apply(rules: Rules, name: string): string | undefined {
  if (Object.hasOwn(rules, name)) return rules[name];
  for (const [, number] of name.matchAll(/(\d+)/g)) {
    const pattern = name.replace(number!, "#");
    if (Object.hasOwn(rules, pattern)) return rules[pattern]!.replace("#", number!);
  }
  return undefined;
}

/** What the tensors of a file tell together: how many tokens and layers, and whether vLLM's norms add the residual. */
class Context {
  readonly tokens: number | undefined;
  readonly layers: number;
  readonly fused: boolean;
  readonly #hints: ShapeHints;

  constructor(tensors: ReadonlyMap<string, HostTensor>, hints: ShapeHints) {
    this.#hints = hints;
    const names = [...tensors.keys()];
    const numbers = names.map((name) => Number(/(?:layers?|blocks?|-)\.?(\d{1,4})/.exec(name)?.[1] ?? -1));
    const states = names.map((name) => Number(/hidden_states\.(\d{1,4})$/.exec(name)?.[1] ?? 0));
    const largest = (list: readonly number[]): number => list.reduce((a, b) => Math.max(a, b), -1);
    this.layers = hints.layers ?? Math.max(1 + largest(numbers), largest(states));
    this.fused = names.some((name) => /layernorm/.test(name));
    const ids = ["ids", "input_ids", "tokens"].map((name) => tensors.get(name)).find((found) => found);
    this.tokens =
      hints.tokens ??
      (ids ? ids.data.length : mostCommon([...tensors.values()].map(({ shape }) => squeeze(shape, 2)[0])));
  }

  /** transformers' hidden_states: the embedding, what each layer returns, but the last after the final norm. */
  hiddenState(index: number): string {
    if (index === 0) return "embedding";
    return index >= this.layers ? "norm" : `layers.${index - 1}.moe.residual`;
  }

  /** One of their tensors as one or more of our points. */
  layout(
    point: string,
    tensor: HostTensor,
    found: ReadonlyMap<string, { tensor: HostTensor }>,
  ): [string, HostTensor][] {
    const beside = (name: string): HostTensor | undefined => found.get(point.replace(/[^.]+$/, name))?.tensor;
    if (point === "ids") return [[point, flatInts(tensor)]];
    const T = this.tokens ?? 0;
    if (point.endsWith("q+k+v")) return this.#split(point.replace("q+k+v", "attn"), squeezed(tensor, 2));
    if (point.endsWith(".gate") || point.endsWith(".up")) {
      const [gate, up] = [beside("gate"), beside("up")];
      return point.endsWith(".gate") && gate && up
        ? [[point.replace(/gate$/, "moe.gate_up"), interleave(gate, up)]]
        : [];
    }
    if (point.endsWith("scattered")) {
      const [weights, ids] = [
        squeezed(tensor, 2),
        found.get(point.replace("scattered", "moe.expert_ids"))?.tensor,
      ];
      return ids
        ? [[point.replace("scattered", "moe.expert_weights"), gather(weights, squeezed(ids, 2))]]
        : [];
    }
    if (/\.expert_ids$/.test(point))
      return [[point, { ...squeezed(tensor, 2), data: Int32Array.from(tensor.data) }]];
    if (/attn\.(scores|weights)$/.test(point)) return scoreLayout(point, merged(squeezed(tensor, 3), 0, 3));
    if (/attn\.sink$/.test(point)) return [[point, merged(squeezed(tensor, 2), 0, 2)]];
    if (/attn\.(q|k|v|q_rope|k_rope)$/.test(point)) {
      const flat = tensor.shape.length === 3 && tensor.shape[0] === 1 && tensor.shape[1] === T && T > 1;
      return [[point, tokensFirst(merged(squeezed(tensor, flat ? 2 : 3), 1, 3), T)]];
    }
    if (/attn\.context$/.test(point)) return [[point, merged(tokensFirst(squeezed(tensor, 2), T), 1, 2)]];
    if (/moe\.(gate_up|swiglu|down)$/.test(point)) return [[point, squeezed(tensor, 3)]];
    return [[point, squeezed(tensor, 2)]];
  }

  /** [T, (heads + 2 · kv heads) · head dim] → q, k, v. */
  #split(prefix: string, { shape, data }: HostTensor): [string, HostTensor][] {
    const [T, width] = shape as [number, number];
    const { heads, kvHeads, headDim } = { heads: 64, kvHeads: 8, headDim: 64, ...this.#hints };
    if (shape.length !== 2 || width !== (heads + 2 * kvHeads) * headDim) return [];
    let from = 0;
    return ["q", "k", "v"].map((name): [string, HostTensor] => {
      const count = (name === "q" ? heads : kvHeads) * headDim;
      const part = data.slice(0, T * count);
      for (let t = 0; t < T; t++)
        part.set(data.subarray(t * width + from, t * width + from + count), t * count);
      from += count;
      return [`${prefix}.${name}`, { shape: [T, count / headDim, headDim], data: part }];
    });
  }
}

function mostCommon(sizes: readonly (number | undefined)[]): number | undefined {
  const counts = new Map<number | undefined, number>();
  for (const size of sizes) counts.set(size, (counts.get(size) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}

/** Leading dimensions of 1 (a batch of one) go, down to `rank`. */
function squeeze(shape: readonly number[], rank: number): number[] {
  let from = 0;
  while (shape.length - from > rank && shape[from] === 1) from++;
  return shape.slice(from);
}

function squeezed({ shape, data }: HostTensor, rank: number): HostTensor {
  return { shape: squeeze(shape, rank), data };
}

/** Joins dimensions from `axis` on until `rank` are left: [T, kv heads, group, d] → [T, heads, d]. */
function merged({ shape, data }: HostTensor, axis: number, rank: number): HostTensor {
  const excess = shape.length - rank;
  if (excess <= 0) return { shape, data };
  const joined = shape.slice(axis, axis + excess + 1).reduce((a, b) => a * b, 1);
  return { shape: [...shape.slice(0, axis), joined, ...shape.slice(axis + excess + 1)], data };
}

/** [heads, T, d] → [T, heads, d], where the sizes tell the two apart. */
function tokensFirst(tensor: HostTensor, T: number): HostTensor {
  const [a, b] = tensor.shape;
  return tensor.shape.length === 3 && a !== T && b === T ? transpose(tensor, [1, 0, 2]) : tensor;
}

/** Fills of masked places become −∞; a column more than rows is the sink's. */
function scoreLayout(point: string, { shape, data }: HostTensor): [string, HostTensor][] {
  const [heads, T, columns] = shape as [number, number, number];
  const isScores = point.endsWith("scores");
  const open = isScores ? data.map((x) => (x <= -9000 ? Number.NEGATIVE_INFINITY : x)) : data;
  if (shape.length !== 3 || columns !== T + 1) return [[point, { shape, data: open }]];
  const [kept, sink] = [new Float32Array(heads * T * T), new Float32Array(heads * T)];
  for (let row = 0; row < heads * T; row++) {
    kept.set(open.subarray(row * columns, row * columns + T), row * T);
    sink[row] = open[row * columns + T]!;
  }
  const matrix: [string, HostTensor] = [point, { shape: [heads, T, T], data: kept }];
  return isScores
    ? [matrix]
    : [matrix, [point.replace("weights", "sink"), { shape: [heads, T], data: sink }]];
}

/** Gate at even places, up at odd ones, as the checkpoint has their weights. */
function interleave(gate: HostTensor, up: HostTensor): HostTensor {
  const data = new Float32Array(2 * gate.data.length);
  for (let i = 0; i < gate.data.length; i++)
    [data[2 * i], data[2 * i + 1]] = [gate.data[i]!, up.data[i] ?? Number.NaN];
  return squeezed({ shape: [...gate.shape.slice(0, -1), 2 * gate.shape.at(-1)!], data }, 3);
}

/** [T, experts] at the chosen experts → [T, k]. */
function gather(weights: HostTensor, ids: HostTensor): HostTensor {
  const k = ids.shape.at(-1)!;
  const experts = weights.shape.at(-1)!;
  return {
    shape: ids.shape,
    data: Float32Array.from(
      ids.data,
      (id, i) => weights.data[Math.floor(i / k) * experts + id] ?? Number.NaN,
    ),
  };
}

function flatInts({ data }: HostTensor): HostTensor {
  return { shape: [data.length], data: Int32Array.from(data) };
}
