import { roundToBfloat16 } from "./float.ts";

/**
 * A dialect names one exact set of rounding points: "the" logits of gpt-oss do not exist, since each reference
 * implementation rounds at other places.
 *
 * | op               | f64, f32              | bf16-openai                      | bf16-hf                           |
 * |------------------|-----------------------|----------------------------------|-----------------------------------|
 * | RMSNorm          | each step             | in float32, result to bf16       | as openai, but scales in bf16     |
 * | q, k, v, o       | product + bias        | once, bias included              | as openai                         |
 * | RoPE table       | float32 in all but f64, then to the dialect's precision: bf16 cos and sin                     |
 * | RoPE rotation    | both products and their sum                                                                  |
 * | scores           | product, then × scale                                                                        |
 * | sink softmax     | in float32            | in float32, result to bf16       | row maximum subtracted in bf16 first |
 * | weights · V      | once                                                                                         |
 * | router           | product + bias; softmax over the k in float32, result rounded                                |
 * | equal logits     | lower expert id first | as PyTorch's topk on a CPU       | as openai                         |
 * | gate_up, down    | product, then + bias                                                                         |
 * | SwiGLU           | after each of α·gate, sigmoid, gate·sigmoid, up + 1, and the last product                    |
 * | sum over experts | once                  | once                             | each product, each addition, by ascending expert id |
 * | residual         | the sum                                                                                      |
 *
 * A product of a matrix and a vector accumulates in float64 and rounds once, in every dialect: the references
 * accumulate in float32 in an order of their libraries' choosing, of which this is the limit.
 */
export interface Dialect {
  readonly name: DialectName;
  /** Rounds a value to what an activation can hold. */
  readonly round: (x: number) => number;
  /** Rounds an intermediate value where the bf16 references compute in float32. */
  readonly wide: (x: number) => number;
  /** Rounds weights, where the references hold them in less than the file may. */
  readonly roundWeight?: (x: number) => number;
  /** transformers holds the norms' scales in bfloat16, OpenAI's code in float32. */
  readonly roundsNormScales: boolean;
  /** transformers subtracts each row's maximum from the scores ahead of the softmax, and rounds the difference. */
  readonly subtractsRowMaximum: boolean;
  /** Equal router logits go to the expert that PyTorch's topk happens to put first, not to the lower index. */
  readonly breaksTiesLikeTorch: boolean;
  /** transformers adds up the experts one by one by ascending id, and rounds after each. */
  readonly sumsExpertsById: boolean;
}

export type DialectName = "f64" | "f32" | "bf16-openai" | "bf16-hf";

const exact = (x: number): number => x;

export const DIALECTS: Readonly<Record<DialectName, Dialect>> = {
  f64: {
    name: "f64",
    round: exact,
    wide: exact,
    subtractsRowMaximum: false,
    roundsNormScales: false,
    breaksTiesLikeTorch: false,
    sumsExpertsById: false,
  },
  f32: {
    name: "f32",
    round: Math.fround,
    wide: Math.fround,
    subtractsRowMaximum: false,
    roundsNormScales: false,
    breaksTiesLikeTorch: false,
    sumsExpertsById: false,
  },
  "bf16-openai": {
    name: "bf16-openai",
    round: roundToBfloat16,
    roundWeight: roundToBfloat16,
    wide: Math.fround,
    subtractsRowMaximum: false,
    roundsNormScales: false,
    breaksTiesLikeTorch: true,
    sumsExpertsById: false,
  },
  "bf16-hf": {
    name: "bf16-hf",
    round: roundToBfloat16,
    roundWeight: roundToBfloat16,
    wide: Math.fround,
    subtractsRowMaximum: true,
    roundsNormScales: true,
    breaksTiesLikeTorch: true,
    sumsExpertsById: true,
  },
};
