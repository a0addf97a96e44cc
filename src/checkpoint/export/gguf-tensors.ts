import type { ModelConfig } from "../../config.ts";
import { CheckpointError } from "../../errors.ts";
import { decodeFloats, encodeFloat16, roundToBfloat16 } from "../../numerics/float.ts";
import { toGgufBlocks } from "../mxfp4-blocks.ts";
import { quantized } from "../quantize.ts";
import { blocksInRow, rowBytes } from "../sources.ts";
import type { EncodedRows, WeightSource, WeightSources } from "../weights.ts";

/** Types that dense matrices can be written in. */
export type GgufDenseType = "f32" | "f16" | "bf16" | "q8_0";

/** A tensor of a GGUF file to be, made from a checkpoint's weights as it is written. */
export interface ExportTensor {
  readonly name: string;
  readonly dtype: string;
  /** Row-major, outermost dimension first. */
  readonly shape: readonly number[];
  readonly matrices: number;
  readonly rows: number;
  readonly rowBytes: number;
  /** Rows [first, first + count) of one matrix, as the file has them. */
  read(matrix: number, first: number, count: number): Promise<Uint8Array>;
}

/**
 * The tensors of a model as llama.cpp's converter lays them out: vectors and the router F32, experts MXFP4, with gate
 * and up apart, everything else in the checkpoint's own type.
 *
 * @param dense type of embeddings and attention, if not the checkpoint's own
 */
export function exportTensors(
  config: ModelConfig,
  weights: WeightSources,
  dense?: GgufDenseType,
): ExportTensor[] {
  const { numExperts, intermediateSize } = config;
  const matrix = (name: string, weight: WeightSource): ExportTensor =>
    tensor(name, [weight.rows, weight.cols], converted(weight, dense));
  const vector = (name: string, weight: WeightSource, shape = [weight.cols]): ExportTensor =>
    tensor(name, shape, converted(weight, "f32"));
  const linear = (name: string, { weight, bias }: { weight: WeightSource; bias: WeightSource }) => [
    matrix(`${name}.weight`, weight),
    vector(`${name}.bias`, bias),
  ];
  const experts = (name: string, weight: WeightSource, bias: WeightSource): ExportTensor[] => [
    tensor(`${name}.weight`, [numExperts, weight.rows, weight.cols], weight),
    vector(`${name}.bias`, bias, [numExperts, bias.cols]),
  ];
  const layers = weights.layers.flatMap(({ attn, moe }, i) => {
    const name = `blk.${i}`;
    const half = (side: 0 | 1, letter: string): ExportTensor[] =>
      experts(
        `${name}.ffn_${letter}_exps`,
        everyOtherRow(moe.gateUp.weight, side),
        everyOtherColumn(moe.gateUp.bias, side, intermediateSize),
      );
    return [
      vector(`${name}.attn_norm.weight`, attn.norm),
      ...linear(`${name}.attn_q`, attn.q),
      ...linear(`${name}.attn_k`, attn.k),
      ...linear(`${name}.attn_v`, attn.v),
      vector(`${name}.attn_sinks.weight`, attn.sinks),
      ...linear(`${name}.attn_output`, attn.out),
      vector(`${name}.post_attention_norm.weight`, moe.norm),
      vector(`${name}.ffn_gate_inp.weight`, moe.router.weight, [numExperts, config.hiddenSize]),
      vector(`${name}.ffn_gate_inp.bias`, moe.router.bias),
      ...half(0, "gate"),
      ...half(1, "up"),
      ...experts(`${name}.ffn_down_exps`, moe.down.weight, moe.down.bias),
    ];
  });
  return [
    matrix("token_embd.weight", weights.embedding),
    ...layers,
    vector("output_norm.weight", weights.norm),
    matrix("output.weight", weights.unembedding),
  ];
}

/** The part of a {@link WeightSource} that an exported tensor is made from. */
type Rows = Pick<WeightSource, "name" | "encoding" | "matrices" | "rows" | "cols" | "readRows">;

function tensor(name: string, shape: readonly number[], rows: Rows): ExportTensor {
  const { encoding, cols } = rows;
  const ggml = encoding === "mxfp4";
  return {
    name,
    dtype: encoding.toUpperCase(),
    shape,
    matrices: rows.matrices,
    rows: rows.rows,
    rowBytes: ggml ? blocksInRow(cols, name) * 17 : rowBytes(encoding, cols),
    async read(matrix, first, count) {
      const { data, scales } = await rows.readRows(matrix, first, count);
      if (!ggml) return data;
      const out = new Uint8Array(scales!.length * 17);
      toGgufBlocks(data, scales!, out, 0);
      return out;
    },
  };
}

/** Rows 0, 2, 4, … or 1, 3, 5, … */
function everyOtherRow(weight: WeightSource, side: 0 | 1): Rows {
  const stride = rowBytes(weight.encoding, weight.cols);
  return {
    ...weight,
    rows: weight.rows / 2,
    async readRows(matrix, first, count): Promise<EncodedRows> {
      const both = await weight.readRows(matrix, 2 * first, 2 * count);
      const scales = both.scales && { scales: everyOther(both.scales, weight.cols / 32, side) };
      return { ...both, rows: count, data: everyOther(both.data, stride, side), ...scales };
    },
  };
}

/** The same for the columns of biases. */
function everyOtherColumn(bias: WeightSource, side: 0 | 1, cols: number): WeightSource {
  const size = rowBytes(bias.encoding, 1);
  return {
    name: bias.name,
    encoding: bias.encoding,
    matrices: bias.matrices,
    rows: bias.rows,
    cols,
    async readRows(matrix, first, count): Promise<EncodedRows> {
      const both = await bias.readRows(matrix, first, count);
      return { ...both, cols, data: everyOther(both.data, size, side) };
    },
  };
}

/** Of pieces of `size` bytes, those at even or odd places. */
function everyOther(bytes: Uint8Array, size: number, side: 0 | 1): Uint8Array {
  const out = new Uint8Array(bytes.length / 2);
  for (let to = 0, from = side * size; to < out.length; to += size, from += 2 * size) {
    out.set(bytes.subarray(from, from + size), to);
  }
  return out;
}

/** A weight in another encoding; what is quantised stays as it is, and so does what has no whole number of blocks. */
function converted(weight: WeightSource, type: GgufDenseType | undefined): WeightSource {
  const { encoding, cols } = weight;
  if (type === undefined || type === encoding || encoding === "q8_0" || encoding === "mxfp4") return weight;
  if (type === "q8_0") return quantized(weight);
  const form = { name: weight.name, matrices: weight.matrices, rows: weight.rows, cols, encoding: type };
  return {
    ...form,
    async readRows(matrix, first, count): Promise<EncodedRows> {
      const values = new Float32Array(count * cols);
      decodeFloats(encoding, (await weight.readRows(matrix, first, count)).data, values);
      return { encoding: type, rows: count, cols, data: encoded(values, type, weight.name) };
    },
  };
}

function encoded(values: Float32Array, type: Exclude<GgufDenseType, "q8_0">, name: string): Uint8Array {
  if (type === "f32") return new Uint8Array(values.buffer);
  if (type === "bf16") {
    const bits = new Uint32Array(Float32Array.from(values, roundToBfloat16).buffer);
    return new Uint8Array(Uint16Array.from(bits, (word) => word >>> 16).buffer);
  }
  const large = values.find((value) => !(Math.abs(value) < FLOAT16_LIMIT));
  if (large !== undefined) {
    throw new CheckpointError("a weight that float16 can't hold", {
      where: name,
      expected: `a magnitude below ${FLOAT16_LIMIT}`,
      found: String(large),
      hint: "Take --dense bf16.",
    });
  }
  return new Uint8Array(Uint16Array.from(values, encodeFloat16).buffer);
}

/** From here on values round to infinity. */
const FLOAT16_LIMIT = 65520;
