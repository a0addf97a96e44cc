import type { ModelConfig } from "../../config.ts";
import { blocksInRow } from "../sources.ts";
import { type Fill, mxfp4Scales, normalBfloat16, stream, uniformBytes } from "./values.ts";

/** A tensor to be written: `fill` makes whole rows, any number at a time. */
export interface SynthTensor {
  readonly name: string;
  readonly dtype: string;
  /** Row-major, outermost dimension first. */
  readonly shape: readonly number[];
  readonly rows: number;
  readonly rowBytes: number;
  fill(firstRow: number, out: Uint8Array): void;
}

export const byteLength = (tensor: SynthTensor): number => tensor.rows * tensor.rowBytes;

/**
 * Random weights under the names of OpenAI's layout; every format is cut from these.
 *
 * Their scales keep the model alive rather than typical: attention far from uniform, sinks that take a real share,
 * router logits that spread, inputs of SwiGLU that now and then pass its clamp, a residual stream that grows slowly.
 */
export class SynthModel {
  readonly config: ModelConfig;
  readonly #seed: number;

  constructor(config: ModelConfig, seed: number) {
    this.config = config;
    this.#seed = seed;
  }

  embedding(): SynthTensor {
    return this.#normal("embedding.weight", [this.config.vocabSize, this.config.hiddenSize], 1);
  }
  norm(): SynthTensor {
    return this.#normal("norm.scale", [this.config.hiddenSize], 0.2, 1);
  }
  unembedding(): SynthTensor {
    const { vocabSize, hiddenSize } = this.config;
    return this.#normal("unembedding.weight", [vocabSize, hiddenSize], 2 / Math.sqrt(hiddenSize));
  }

  /** One layer's tensors by their short names. */
  layer(i: number): SynthLayer {
    const { hiddenSize: hidden, intermediateSize: ffn, numExperts: experts, headDim } = this.config;
    const heads = this.config.numAttentionHeads * headDim;
    const qkv = heads + 2 * this.config.numKeyValueHeads * headDim;
    const attn = `block.${i}.attn`;
    const mlp = `block.${i}.mlp`;
    return {
      attnNorm: this.#normal(`${attn}.norm.scale`, [hidden], 0.2, 1),
      qkvWeight: this.#normal(`${attn}.qkv.weight`, [qkv, hidden], 1.1 / Math.sqrt(hidden)),
      qkvBias: this.#normal(`${attn}.qkv.bias`, [qkv], 0.3),
      sinks: this.#normal(`${attn}.sinks`, [this.config.numAttentionHeads], 1, 1.5),
      outWeight: this.#normal(`${attn}.out.weight`, [hidden, heads], 1.5 / Math.sqrt(heads)),
      outBias: this.#normal(`${attn}.out.bias`, [hidden], 0.2),
      mlpNorm: this.#normal(`${mlp}.norm.scale`, [hidden], 0.2, 1),
      routerWeight: this.#normal(`${mlp}.gate.weight`, [experts, hidden], 1.5 / Math.sqrt(hidden)),
      routerBias: this.#normal(`${mlp}.gate.bias`, [experts], 0.3),
      ...this.#experts("mlp1", `${mlp}.mlp1`, [experts, 2 * ffn, hidden], 4 / Math.sqrt(hidden)),
      mlp1Bias: this.#normal(`${mlp}.mlp1_bias`, [experts, 2 * ffn], 1),
      ...this.#experts("mlp2", `${mlp}.mlp2`, [experts, hidden, ffn], 0.15 / Math.sqrt(ffn)),
      mlp2Bias: this.#normal(`${mlp}.mlp2_bias`, [experts, hidden], 0.3),
    };
  }

  #normal(name: string, shape: readonly number[], std: number, mean = 0): SynthTensor {
    return this.#tensor(
      name,
      "BF16",
      shape,
      shape.at(-1)! * 2,
      normalBfloat16(stream(this.#seed, name), std, mean),
    );
  }

  #experts<K extends string>(
    key: K,
    name: string,
    [experts, out, inputs]: [number, number, number],
    std: number,
  ): Record<`${K}Blocks` | `${K}Scales`, SynthTensor> {
    const groups = blocksInRow(inputs, name);
    const blocks = `${name}_weight.blocks`;
    const scales = `${name}_weight.scales`;
    return {
      [`${key}Blocks`]: this.#tensor(
        blocks,
        "U8",
        [experts, out, groups, 16],
        groups * 16,
        uniformBytes(stream(this.#seed, blocks)),
      ),
      [`${key}Scales`]: this.#tensor(
        scales,
        "U8",
        [experts, out, groups],
        groups,
        mxfp4Scales(stream(this.#seed, scales), std),
      ),
    } as Record<`${K}Blocks` | `${K}Scales`, SynthTensor>;
  }

  #tensor(name: string, dtype: string, shape: readonly number[], rowBytes: number, fill: Fill): SynthTensor {
    const bytes = shape.reduce((a, b) => a * b, dtype === "BF16" ? 2 : 1);
    return {
      name,
      dtype,
      shape,
      rows: bytes / rowBytes,
      rowBytes,
      fill: (firstRow, out) => fill(firstRow * rowBytes, out),
    };
  }
}

export type SynthLayer = Readonly<
  Record<
    | "attnNorm"
    | "qkvWeight"
    | "qkvBias"
    | "sinks"
    | "outWeight"
    | "outBias"
    | "mlpNorm"
    | "routerWeight"
    | "routerBias"
    | "mlp1Blocks"
    | "mlp1Scales"
    | "mlp1Bias"
    | "mlp2Blocks"
    | "mlp2Scales"
    | "mlp2Bias",
    SynthTensor
  >
>;
