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
 * A product of a matrix and a vector accumulates in float64 and rounds once, in all of these: the references
 * accumulate in float32 in an order of their libraries' choosing, of which this is the limit. RMSNorm's sum of squares is in
 * float64 in every dialect: four sums of the elements i by i mod 4, (a + b) + (c + d), an incomplete last four going to a.
 *
 * `int16` and `int8` fix that order, in float32 and without fused steps, to be what a SIMD engine can follow bit for bit. They
 * are f32 but for these (each product, sum and quotient is rounded to float32, sums start at 0 and run upwards):
 *
 * | op               | int16, int8                                                                                |
 * |------------------|--------------------------------------------------------------------------------------------|
 * | exp              | `expFloat32` in sink softmax and SwiGLU; the router's softmax is as in f32                  |
 * | float weights    | a sum for each 32 columns, the sum of these, + bias                                         |
 * | MXFP4, Q8_0      | likewise; the sum of 32 is exact, of integers: x_i as round(x_i · (Q / max|x|)) for Q = 32639 or 127, |
 * |                  | times (the weight's scale · (max|x| / Q))                                                   |
 * | scores           | one sum over the head, × scale                                                              |
 * | sink softmax     | denominator in float64: four sums of the positions p by p mod 4, (a + b) + (c + d), + the sink |
 * | weights · V      | a sum for each p >> 5, then the sum of these                                                |
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
  /** Bits of the integers that activations become ahead of MXFP4 and Q8_0 products; undefined where they stay as they are. */
  readonly activationBits?: 16 | 8;
}

export type DialectName = "f64" | "f32" | "bf16-openai" | "bf16-hf" | "int16" | "int8";

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
  int16: {
    name: "int16",
    round: Math.fround,
    wide: Math.fround,
    subtractsRowMaximum: false,
    roundsNormScales: false,
    breaksTiesLikeTorch: false,
    sumsExpertsById: false,
    activationBits: 16,
  },
  int8: {
    name: "int8",
    round: Math.fround,
    wide: Math.fround,
    subtractsRowMaximum: false,
    roundsNormScales: false,
    breaksTiesLikeTorch: false,
    sumsExpertsById: false,
    activationBits: 8,
  },
};
