import type { Command } from "commander";
import type { OpenCheckpoint } from "../checkpoint/open.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { type CheckpointSummary, summarizeCheckpoint } from "../checkpoint/summary.ts";
import type { StoredTensor } from "../checkpoint/tensors.ts";
import { modelPath } from "./arguments.ts";
import { columns, printable } from "./terminal.ts";

interface Options {
  readonly tensors?: boolean;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command("inspect")
    .description("show a checkpoint's config, tensors and memory plan, from its headers alone")
    .argument("[model]", "checkpoint folder or .gguf file (default: the small checkpoint)")
    .option("--tensors", "list every tensor, not one line a kind")
    .option("--json", "print everything as JSON")
    .action(run);
}

async function run(model: string | undefined, options: Options): Promise<void> {
  const checkpoint = await openCheckpoint(modelPath(model));
  try {
    const summary = summarizeCheckpoint(checkpoint);
    if (options.json) console.log(JSON.stringify(asJson(checkpoint, summary), undefined, 2));
    else
      for (const line of report(checkpoint, summary, options.tensors ?? false))
        console.log(printable(line, process.stdout));
  } finally {
    await checkpoint.close();
  }
}

function asJson(checkpoint: OpenCheckpoint, summary: CheckpointSummary): unknown {
  const { format, location, config, files, tensors } = checkpoint;
  return {
    format,
    location,
    config,
    files: files.map(({ name, size }) => ({ name, bytes: size })),
    ...summary,
    tensors: [...tensors.values()].map(({ name, dtype, shape, bytes, file, offset }) => ({
      ...{ name, dtype, shape, bytes },
      file: file.name,
      offset,
    })),
  };
}

const FORMATS = { hf: "Hugging Face layout", original: "OpenAI's original layout", gguf: "GGUF" } as const;

function report(checkpoint: OpenCheckpoint, summary: CheckpointSummary, everyTensor: boolean): string[] {
  const { format, location, config, files, tensors } = checkpoint;
  const { parameters, kvCache } = summary;
  const { rope } = config;
  const fileBytes = files.reduce((sum, file) => sum + file.size, 0);
  const full = config.layerTypes.filter((type) => type === "full").length;
  const yarn = rope.truncate ? ", truncated" : "";
  return [
    `${location}: ${FORMATS[format]}, ${files.length} file${files.length === 1 ? "" : "s"}, ${size(fileBytes)}`,
    "",
    ...columns([
      [
        "layers",
        `${config.numLayers}: ${config.numLayers - full} sliding (window ${config.slidingWindow}), ${full} full`,
      ],
      ["hidden", `${config.hiddenSize}`],
      [
        "attention",
        `${config.numAttentionHeads} heads, ${config.numKeyValueHeads} key-value heads, of ${config.headDim}`,
      ],
      [
        "experts",
        `${config.numExperts} of width ${config.intermediateSize}, ${config.expertsPerToken} a token`,
      ],
      ["SwiGLU", `alpha ${config.swigluAlpha}, clamped at ${config.swigluLimit}`],
      ["RMSNorm", `epsilon ${config.rmsNormEps.toExponential()}`],
      [
        "RoPE",
        `theta ${rope.theta}${rope.factor > 1 ? `, YaRN ${rope.factor} × ${rope.originalContextLength} (beta ${rope.betaSlow} to ${rope.betaFast}${yarn})` : ""}`,
      ],
      ["context", count(config.maxContextLength)],
      ["vocabulary", count(config.vocabSize)],
    ]),
    "",
    ...columns([
      ["parameters", count(parameters.total)],
      [
        "active",
        `${count(parameters.active)} a token (${count(parameters.active + parameters.embedding)} with the input embedding)`,
      ],
    ]),
    "",
    ...columns(everyTensor ? tensorRows(tensors.values()) : kindRows(tensors.values())),
    "",
    ...columns([
      ["weights", size(summary.weightBytes), `of these ${size(summary.expertBytes)} experts`],
      [
        "KV cache",
        `${count(kvCache.bytesPerToken)} B a token`,
        `and ${size(kvCache.windowBytes)} for the windows, in float32`,
      ],
      ...kvCache.contexts.map(({ tokens, bytes }) => [
        `  ${count(tokens)} tokens`,
        size(bytes),
        `${size(bytes + summary.weightBytes)} with the weights`,
      ]),
    ]),
  ];
}

function tensorRows(tensors: Iterable<StoredTensor>): string[][] {
  return Array.from(tensors, ({ name, dtype, shape, bytes }) => [
    name,
    dtype,
    `[${shape.join(", ")}]`,
    size(bytes),
  ]);
}

/** One row for each kind of tensor: those whose names differ in the layer's number only. */
function kindRows(tensors: Iterable<StoredTensor>): string[][] {
  const kinds = new Map<string, { dtype: string; shape: string; number: number; bytes: number }>();
  let number = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    number++;
    const kind = name.replace(/\.\d+\./, ".*.");
    const key = `${kind} ${dtype} ${shape}`;
    const row = kinds.get(key) ?? { dtype, shape: `[${shape.join(", ")}]`, number: 0, bytes: 0 };
    kinds.set(key, { ...row, number: row.number + 1, bytes: row.bytes + bytes });
  }
  const rows = Array.from(kinds, ([key, { dtype, shape, number, bytes }]) => [
    key.split(" ")[0]!,
    dtype,
    shape,
    `× ${number}`,
    size(bytes),
  ]);
  return [...rows, [`${number} tensors`]];
}

function count(n: number): string {
  return Math.round(n).toLocaleString("en-US");
}

/** In decimal units, as file managers and disks count. */
function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(2)} ${units[unit]}`;
}
