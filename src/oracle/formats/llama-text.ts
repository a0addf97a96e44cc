import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { CheckpointError } from "../../errors.ts";
import type { SampledTensor } from "./sampled.ts";

/**
 * The text that llama.cpp's eval-callback example prints: each tensor of the graph under a line
 *
 *     common_debug_cb_eval:   attn_norm-0 = (f32)  MUL(norm-0{64, 9, 1, 1}, blk.0.attn_norm.weight{64, 1, 1, 1}}) = {64, 9, 1, 1}
 *
 * (ggml_debug in older builds), of which a dimension of more than six shows its first and last three, with four decimals,
 * and the sum of all. Names come with the layer's number; several nodes have the same one, told apart by their operation.
 * Only the first pass of the file is read; the last layer computes the tokens alone whose logits are wanted.
 */
export interface LlamaText {
  readonly sampled: ReadonlyMap<string, SampledTensor>;
  readonly unknown: readonly string[];
}

interface Node {
  readonly name: string;
  readonly op: string;
  /** ggml's order: the fastest dimension first. */
  readonly ne: readonly [number, number, number, number];
  readonly at: number[];
  readonly values: number[];
  sum?: number;
}

const MAX_LINE = 100_000;
const MAX_NODES = 100_000;
const HEADING =
  /(?:ggml_debug|common_debug_cb_eval\w*):\s+(\S.*?) = \(\w+\)\s+(\w[\w ]*?)\(.*\) = \{(\d+), (\d+), (\d+), (\d+)\}\s*$/;

/** Whether the text is such a print. */
export function looksLikeLlamaText(start: string): boolean {
  return /(?:ggml_debug|common_debug_cb_eval\w*):\s+\S/.test(start);
}

export async function readLlamaText(path: string): Promise<LlamaText> {
  const nodes: Node[] = [];
  let reader: NodeReader | undefined;
  let number = 0;
  for await (const line of lines(path)) {
    number++;
    const heading = HEADING.exec(line);
    if (!heading) {
      reader?.take(line, number);
      continue;
    }
    const [, name, op] = heading as unknown as [string, string, string];
    // the embedding comes first in a pass, so that its second coming begins another
    if (isEmbedding(name) && nodes.some((node) => isEmbedding(node.name))) break;
    const ne = heading.slice(3, 7).map(Number) as [number, number, number, number];
    if (ne.some((n) => n < 1) || ne.reduce((a, b) => a * b, 1) > 2 ** 40 || nodes.length >= MAX_NODES)
      throw new CheckpointError("an impossible shape", {
        where: `${basename(path)}, line ${number}`,
        found: ne.join(", "),
      });
    nodes.push({ name, op, ne, at: [], values: [] });
    reader = new NodeReader(nodes.at(-1)!, basename(path));
  }
  return toPoints(nodes, path);
}

function isEmbedding(name: string): boolean {
  return /^(inp_embd|embd)$/.test(name);
}

/** Follows the brackets of one tensor; i0 is a place in a row, i1 the row, i2 the plane. */
class NodeReader {
  readonly #node: Node;
  readonly #file: string;
  #depth = 0;
  #i3 = 0;
  #i2 = 0;
  #i1 = 0;

  constructor(node: Node, file: string) {
    this.#node = node;
    this.#file = file;
  }

  take(line: string, number: number): void {
    const [ne0, ne1, ne2] = this.#node.ne;
    const text = line.trim();
    const sum = /^sum = (\S+)$/.exec(text);
    if (sum) this.#node.sum = (this.#node.sum ?? 0) + toNumber(sum[1]!);
    else if (text === "[") {
      this.#depth++;
      if (this.#depth === 1) this.#i2 = 0;
      if (this.#depth === 2) this.#i1 = 0;
    } else if (text === "]" || text === "],") {
      if (this.#depth === 2) this.#i2++;
      if (this.#depth === 1) this.#i3++;
      this.#depth--;
    } else if (/^\.\.\.,?$/.test(text)) {
      if (this.#depth === 1) this.#i2 = ne2 - this.#i2;
      if (this.#depth === 2) this.#i1 = ne1 - this.#i1;
    } else if (this.#depth === 2 && text.startsWith("[")) this.#row(text, ne0, number);
  }

  #row(text: string, ne0: number, line: number): void {
    const { ne, at, values } = this.#node;
    const cells = text.replace(/^\[|\],?$/g, "").split(",").map((cell) => cell.trim()).filter((cell) => cell !== ""); // biome-ignore format: one thought
    const gap = cells.indexOf("...");
    const shown = gap < 0 ? cells : [...cells.slice(0, gap), ...cells.slice(gap + 1)];
    const fits = gap < 0 ? shown.length === ne0 : shown.length < ne0;
    if (!fits || this.#i1 >= ne[1] || this.#i2 >= ne[2] || this.#i3 >= ne[3]) {
      const where = `${this.#file}, line ${line}`;
      throw new CheckpointError("the values don't fit the shape", {
        where,
        expected: `{${ne.join(", ")}}`,
        found: text,
      });
    }
    const row = ((this.#i3 * ne[2] + this.#i2) * ne[1] + this.#i1) * ne0;
    for (const [i, cell] of shown.entries()) {
      at.push(row + (gap < 0 || i < gap ? i : ne0 - shown.length + i));
      values.push(toNumber(cell));
    }
    this.#i1++;
  }
}

function toNumber(text: string): number {
  const plain = text.replace(/^(-?)inf(inity)?$/i, "$1Infinity");
  return /nan/i.test(plain) ? Number.NaN : Number(plain);
}

/** Which point a node is, the best candidate last: a product comes before the bias is added to it. */
const POINTS: readonly (readonly [RegExp, string])[] = [
  [/^(?:inp_embd|embd) \w+/, "embedding"],
  [/^attn_norm-(\d+) MUL/, "layers.#.attn.norm"],
  ...["q", "k", "v"].flatMap((x): [RegExp, string][] => [
    [new RegExp(`^${x.toUpperCase()}cur-(\\d+) (?:MUL_MAT|ADD)`), `layers.#.attn.${x}`],
    [new RegExp(`^${x.toUpperCase()}cur-(\\d+) ROPE`), `layers.#.attn.${x}_rope`],
  ]),
  [/^kq_soft_max(?:_ext)?-(\d+) SOFT_MAX/, "layers.#.attn.weights"],
  [/^kqv_out-(\d+) \w+/, "layers.#.attn.context"],
  [/^attn_out-(\d+) ADD/, "layers.#.attn.out"],
  [/^ffn_inp-(\d+) ADD/, "layers.#.attn.residual"],
  [/^(?:attn_post_norm|ffn_norm)-(\d+) MUL/, "layers.#.moe.norm"],
  [/^(?:ffn_moe_logits_biased|ffn_moe_probs)-(\d+) ADD/, "layers.#.moe.router_logits"],
  [/^ffn_moe_topk-(\d+) \w+/, "layers.#.moe.expert_ids"],
  [/^ffn_moe_weights_softmax-(\d+) \w+/, "layers.#.moe.expert_weights"],
  [/^ffn_moe_gate_biased-(\d+) ADD/, "layers.#.moe.gate"],
  [/^ffn_moe_up_biased-(\d+) ADD/, "layers.#.moe.up"],
  [/^ffn_moe_swiglu(?:_oai)?-(\d+) \w+/, "layers.#.moe.swiglu"],
  [/^ffn_moe_down_biased-(\d+) ADD/, "layers.#.moe.down"],
  [/^ffn_moe_out-(\d+) \w+/, "layers.#.moe.out"],
  [/^l_out-(\d+) ADD/, "layers.#.moe.residual"],
  [/^result_norm MUL/, "norm"],
  [/^result_output MUL_MAT/, "logits"],
];

/** Nodes on the way to a point, which say nothing new. */
const BETWEEN =
  /^(norm|node_|leaf_|cache_|inp_|kq|kqv|v_cont|fattn|[QKV]cur|attn_out|ffn_moe_(logits|argsort|weights|weighted|gate|up|down)(-|$))|\(|__/;

function toPoints(nodes: readonly Node[], path: string): LlamaText {
  const found = new Map<string, Node>();
  const unknown = new Set<string>();
  for (const node of nodes) {
    const key = `${node.name} ${node.op}`;
    const rule = POINTS.find(([pattern]) => pattern.test(key));
    if (rule) found.set(rule[1].replace("#", rule[0].exec(key)![1] ?? ""), node);
    else if (!BETWEEN.test(node.name)) unknown.add(node.name);
  }
  const tokens = found.get("embedding")?.ne[1] ?? found.get("layers.0.attn.norm")?.ne[1];
  if (tokens === undefined)
    throw new CheckpointError("no embedding and no attn_norm-0 in the text", { where: basename(path), hint: "Print the tensors from the first layer on." }); // biome-ignore format: one thought
  const sampled = new Map<string, SampledTensor>();
  for (const [point, node] of found) {
    if (point.endsWith(".moe.up")) continue;
    if (!point.endsWith(".moe.gate")) sampled.set(point, sample(point, node, tokens));
    const up = found.get(point.replace(/gate$/, "up"));
    if (point.endsWith(".moe.gate") && up)
      sampled.set(
        point.replace(/gate$/, "gate_up"),
        interleaved(sample(point, node, tokens), sample(point, up, tokens)),
      );
  }
  return { sampled, unknown: [...unknown] };
}

/** ggml's dimensions backwards are ours, row-major; a tensor of fewer tokens holds the last ones. */
function sample(point: string, { ne, at, values, sum }: Node, tokens: number): SampledTensor {
  const common = { resolution: point.endsWith("expert_ids") ? 0 : 0.5e-4, ...(sum !== undefined && { sum }) };
  if (point.endsWith(".weights")) {
    const [keys, rows, heads] = ne; // the cache's length is padded: keys beyond the tokens are empty
    const kept = [...at.keys()].filter((i) => at[i]! % keys < tokens && rows === tokens);
    return {
      ...common,
      shape: [heads, tokens, tokens],
      at: Float64Array.from(kept, (i) => Math.floor(at[i]! / keys) * tokens + (at[i]! % keys)),
      values: Float32Array.from(kept, (i) => values[i]!),
      firstToken: 0,
    };
  }
  const inner = innerShape(point, ne);
  const width = inner.reduce((a, b) => a * b, 1);
  const rows = ne.reduce((a, b) => a * b, 1) / width;
  const firstToken = Math.max(0, tokens - rows);
  return {
    ...common,
    shape: [Math.max(tokens, rows), ...inner],
    at: Float64Array.from(at, (i) => i + firstToken * width),
    values: Float32Array.from(values),
    firstToken,
  };
}

function innerShape(point: string, [ne0, ne1]: Node["ne"]): number[] {
  if (/_rope$|\.(gate|swiglu|down)$/.test(point)) return [ne1, ne0];
  if (point.endsWith("expert_weights")) return [ne0 === 1 ? ne1 : ne0];
  return [ne0];
}

/** gate and up as one tensor, of which gate has the even places, as the checkpoint has their weights. */
function interleaved(gate: SampledTensor, up: SampledTensor): SampledTensor {
  const [tokens, k, width] = gate.shape as [number, number, number];
  return {
    shape: [tokens, k, 2 * width],
    at: Float64Array.from([...gate.at.map((i) => 2 * i), ...up.at.map((i) => 2 * i + 1)]),
    values: Float32Array.from([...gate.values, ...up.values]),
    resolution: gate.resolution,
    ...(gate.sum !== undefined && up.sum !== undefined && { sum: gate.sum + up.sum }),
    firstToken: gate.firstToken,
  };
}

/** Lines of a text file; a line longer than any of the format is cut. */
async function* lines(path: string): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of createReadStream(path, { encoding: "utf8", highWaterMark: 1 << 20 })) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop()!.slice(0, MAX_LINE);
    yield* parts.map((line) => line.slice(0, MAX_LINE).replace(/\r$/, ""));
  }
  if (rest !== "") yield rest;
}
