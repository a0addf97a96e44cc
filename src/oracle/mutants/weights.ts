import { rowBytes } from "../../checkpoint/sources.ts";
import type { EncodedRows, LinearSource, WeightSource, WeightSources } from "../../checkpoint/weights.ts";
import {
  type Change,
  changedMatrices,
  changedRows,
  changedVector,
  everyLayer,
  type Mutant,
} from "./mutant.ts";

/** How the checkpoint is read: MXFP4, layouts, biases. */

type ExpertMatrix = "gateUp" | "down";

/** Both experts' matrices changed where they are MXFP4. */
function mxfp4(change: (rows: EncodedRows) => EncodedRows): Change {
  const linear = ({ weight, bias }: LinearSource): LinearSource => ({
    weight: weight.encoding === "mxfp4" ? changedRows(weight, change) : weight,
    bias,
  });
  return {
    weights: (weights) =>
      everyLayer(weights, ({ attn, moe }) => ({
        attn,
        moe: { ...moe, gateUp: linear(moe.gateUp), down: linear(moe.down) },
      })),
  };
}

const scales = (change: (byte: number) => number): Change =>
  mxfp4((rows) => ({
    ...rows,
    scales: rows.scales!.map((byte) => Math.min(Math.max(change(byte), 0), 254)),
  }));

const codes = (change: (byte: number) => number): Change =>
  mxfp4((rows) => ({ ...rows, data: rows.data.map(change) }));

function attentionLinear(name: "q" | "k" | "v" | "out", change: (w: LinearSource) => LinearSource): Change {
  return {
    weights: (weights) =>
      everyLayer(weights, ({ attn, moe }) => ({ attn: { ...attn, [name]: change(attn[name]) }, moe })),
  };
}

function expertBias(name: ExpertMatrix, change: (bias: WeightSource) => WeightSource): Change {
  return {
    weights: (weights) =>
      everyLayer(weights, ({ attn, moe }) => ({
        attn,
        moe: { ...moe, [name]: { ...moe[name], bias: change(moe[name].bias) } },
      })),
  };
}

const zero = (source: WeightSource): WeightSource => changedVector(source, () => 0);

const BIASES: readonly Mutant[] = (
  [
    ["q", "queries"],
    ["k", "keys"],
    ["v", "values"],
    ["out", "the output projection"],
  ] as const
).map(([name, what]) => ({
  name: `bias-${name}-missing`,
  family: "weights",
  description: `The bias of ${what} is missing.`,
  seen: "code for models without biases in attention",
  fix: "All four projections of attention have biases.",
  change: attentionLinear(name, ({ weight, bias }) => ({ weight, bias: zero(bias) })),
}));

/** Element 2j + s of each block of 32 takes the nibble that should be at another place. */
function regrouped({ data, ...rest }: EncodedRows): EncodedRows {
  const out = new Uint8Array(data.length);
  const nibble = (block: number, i: number): number => (data[block + (i >> 1)]! >> (4 * (i & 1))) & 15;
  for (let block = 0; block < data.length; block += 16) {
    // element j + 16 · h is taken from nibble h of byte j
    for (let i = 0; i < 32; i++)
      out[block + (i >> 1)]! |= nibble(block, 2 * (i % 16) + (i >> 4)) << (4 * (i & 1));
  }
  return { ...rest, data: out };
}

/** Rows read as columns, where a matrix is square. */
function transposed(name: ExpertMatrix): Change {
  return {
    weights: (weights) =>
      everyLayer(weights, ({ attn, moe }) => {
        const { weight, bias } = moe[name];
        if (weight.rows !== weight.cols) return { attn, moe };
        const turned = changedMatrices(weight, (values, n) =>
          values.map((_, at) => values[(at % n) * n + Math.floor(at / n)]!),
        );
        return { attn, moe: { ...moe, [name]: { weight: turned, bias } } };
      }),
  };
}

/** The next matrix for each expert's own. */
function nextExpert(source: WeightSource): WeightSource {
  const { name, encoding, matrices, rows, cols } = source;
  const readRows: WeightSource["readRows"] = (matrix, first, count) =>
    source.readRows((matrix + 1) % matrices, first, count);
  return { name, encoding, matrices, rows, cols, readRows };
}

/** The bias of row 2i + s is taken from place s · n + i, though the matrix interleaves. */
const halves = (bias: WeightSource): WeightSource =>
  changedMatrices(bias, (values, _rows, cols) =>
    values.map((_, at) => {
      const i = at % cols;
      return values[at - i + (i % 2) * (cols / 2) + (i >> 1)]!;
    }),
  );

const isMxfp4 = "gguf and Hugging Face files whose experts are MXFP4";

export const WEIGHT_MUTANTS: readonly Mutant[] = [
  {
    name: "mxfp4-nibbles-swapped",
    family: "weights",
    description: "The high nibble of each MXFP4 byte is read first.",
    seen: `${isMxfp4}; llama.cpp#15597 about Ollama's own order`,
    fix: "In OpenAI's files element 2j is the low nibble of byte j, 2j + 1 the high one.",
    change: codes((byte) => ((byte & 15) << 4) | (byte >> 4)),
  },
  {
    name: "mxfp4-ggml-order",
    family: "weights",
    description:
      "MXFP4 bytes of OpenAI's order are read in ggml's, where byte j holds elements j and j + 16.",
    seen: "llama.cpp#15597: two orders under one name",
    fix: "Safetensors files pair neighbours (2j, 2j + 1); only GGUF files pair j with j + 16.",
    change: mxfp4(regrouped),
  },
  {
    name: "mxfp4-scale-halved",
    family: "weights",
    description:
      "MXFP4 weights are half as large: the scale's bias is 128, or ggml's halved scale goes with the table of ½, 1, 1½.",
    seen: "candle#3391",
    fix: "The scale is 2^(byte − 127) with the table 0, ½, 1, 1½, 2, 3, 4, 6; or half of it with the doubled table.",
    change: scales((byte) => byte - 1),
  },
  {
    name: "mxfp4-scale-doubled",
    family: "weights",
    description:
      "MXFP4 weights are twice as large: the scale's bias is 126, or the doubled table goes with the full scale.",
    seen: "candle#3129, vllm#35192",
    fix: "The scale is 2^(byte − 127) with the table 0, ½, 1, 1½, 2, 3, 4, 6; or half of it with the doubled table.",
    change: scales((byte) => byte + 1),
  },
  {
    name: "mxfp4-scales-shifted",
    family: "weights",
    description: "Each MXFP4 block takes the scale of the one before it.",
    seen: "off by one in the index of blocks",
    fix: "Block b of a row goes with byte b of the row's scales.",
    change: mxfp4((rows) => {
      const { scales } = rows;
      return { ...rows, scales: scales!.map((_, i) => scales![Math.max(0, i - 1)]!) };
    }),
  },
  {
    name: "mxfp4-sign-ignored",
    family: "weights",
    description: "The sign bit of FP4 is ignored.",
    seen: "a table of eight values",
    fix: "Codes 8 to 15 are the negative ones.",
    change: codes((byte) => byte & 0x77),
  },
  {
    name: "down-transposed",
    family: "weights",
    description: "The experts' down projection is transposed, which its square shape hides.",
    seen: "transformers has [in, out], OpenAI's files [out, in]; 2880 × 2880 passes every check of shapes",
    fix: "Check the orientation with values, not shapes.",
    from: ({ hiddenSize, intermediateSize }) =>
      hiddenSize === intermediateSize ? 0 : Number.POSITIVE_INFINITY,
    change: transposed("down"),
  },
  {
    name: "experts-shifted",
    family: "weights",
    description: "Each expert has the matrices of the next one.",
    seen: "an expert offset of parallel ranks, or ids counted from 1",
    fix: "Expert e is matrix e.",
    change: {
      weights: (weights) =>
        everyLayer(weights, ({ attn, moe: { gateUp, down, ...moe } }) => ({
          attn,
          moe: {
            ...moe,
            gateUp: { ...gateUp, weight: nextExpert(gateUp.weight) },
            down: { ...down, weight: nextExpert(down.weight) },
          },
        })),
    },
  },
  ...BIASES,
  {
    name: "bias-gate-up-missing",
    family: "weights",
    description: "The experts' first matrices have no bias.",
    seen: "code for experts without biases",
    fix: "Add mlp1's bias before the clamp.",
    change: expertBias("gateUp", zero),
  },
  {
    name: "bias-down-missing",
    family: "weights",
    description: "The experts' second matrices have no bias.",
    seen: "code for experts without biases",
    fix: "Add mlp2's bias before the expert's weight.",
    change: expertBias("down", zero),
  },
  {
    name: "bias-gate-up-halves",
    family: "weights",
    description: "The bias of gate_up is read as two halves, while its matrix interleaves.",
    seen: "conversions that split the matrix and forget the bias",
    fix: "The bias interleaves as the matrix does.",
    change: expertBias("gateUp", halves),
  },
  {
    name: "unembedding-tied",
    family: "weights",
    description: "The embedding serves as the unembedding.",
    seen: "tie_word_embeddings taken for true",
    fix: "gpt-oss has a matrix of its own, lm_head.",
    change: { weights: (weights: WeightSources) => ({ ...weights, unembedding: weights.embedding }) },
  },
];

/** Bytes of a weight in its file's encoding, scales aside. */
export function bytesOf({ encoding, matrices, rows, cols }: WeightSource): number {
  return matrices * rows * rowBytes(encoding, cols);
}
