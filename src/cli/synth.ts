import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Command, Option } from "commander";
import {
  bytesOnDisk,
  type DenseType,
  type GgufTokenizer,
  SHAPES,
  type ShapeName,
  type SynthOptions,
  synthesize,
  type TokenizerJson,
  tokenizerFromJson,
} from "../checkpoint/synth/index.ts";
import { FolderSink } from "../checkpoint/synth/sink-node.ts";
import { UsageError } from "../errors.ts";
import { madeUpTokenizer } from "../tokenizer/index.ts";
import { integer, SMALL_CHECKPOINT } from "./arguments.ts";

interface Options {
  readonly shape: ShapeName;
  readonly layers?: number;
  readonly format: SynthOptions["format"];
  readonly out: string;
  readonly seed: number;
  readonly dense?: DenseType;
  readonly sparse?: boolean;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command("synth")
    .description("write a random checkpoint of the real shape; formats of one seed hold the same values")
    .addOption(new Option("--shape <name>", "which model").choices(Object.keys(SHAPES)).makeOptionMandatory())
    .option("--layers <n>", "another number of layers", integer(1))
    .addOption(
      new Option("--format <name>", "file layout").choices(["hf", "original", "gguf"]).makeOptionMandatory(),
    )
    .requiredOption("--out <folder>", "folder to create")
    .option("--seed <n>", "which random numbers", integer(0), 0)
    .addOption(
      new Option(
        "--dense <type>",
        "GGUF: type of embeddings and attention (default: bf16, the others' values)",
      ).choices([...["bf16", "f32", "q8_0"]]),
    )
    .option("--sparse", "leave the experts' matrices out: zeros that take no room on the disk")
    .option("--json", "print the result as JSON")
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { shape, format, out, dense, layers } = options;
  if (dense !== undefined && format !== "gguf") {
    throw new UsageError("--dense goes with --format gguf", { hint: "The other formats have BF16 only." });
  }
  const tokenizer = await tokenizerFor(shape);
  const started = performance.now();
  const synth: SynthOptions = {
    ...{ shape, format, seed: options.seed },
    ...(layers === undefined ? {} : { layers }),
    ...(dense === undefined ? {} : { dense }),
    ...(options.sparse && { sparse: true }),
    tokenizer: tokenizer.gguf,
  };
  const sink = await FolderSink.create(out, bytesOnDisk(synth));
  const onInterrupt = (): void => void sink.abandon().finally(() => process.exit(130));
  process.once("SIGINT", onInterrupt);
  try {
    const result = await synthesize(sink, { ...synth, onProgress: progressBar() });
    const extra = format === "gguf" ? [] : tokenizer.files;
    for (const { name, bytes } of extra) {
      const file = await sink.create(name);
      await file.write(bytes);
      await file.close();
    }
    await sink.finish();
    const seconds = (performance.now() - started) / 1000;
    const files = [...result.files, ...extra.map(({ name, bytes }) => ({ name, bytes: bytes.length }))];
    report(options, files, seconds);
  } catch (error) {
    await sink.abandon();
    throw error;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}

function report(
  { out, json, shape }: Options,
  files: readonly { name: string; bytes: number }[],
  seconds: number,
): void {
  const bytes = totalBytes(files);
  if (json) {
    console.log(JSON.stringify({ out, files, bytes, seconds }));
    return;
  }
  for (const file of files) console.log(`${String(file.bytes).padStart(14)}  ${join(out, file.name)}`);
  console.log(`${String(bytes).padStart(14)}  bytes in ${seconds.toFixed(1)} s`);
  if (shape !== "nano")
    console.log("Its tokenizer is made up, too: its ids of a text aren't o200k_harmony's.");
}

function totalBytes(files: readonly { bytes: number }[]): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

interface SynthTokenizer {
  readonly files: readonly { name: string; bytes: Uint8Array }[];
  readonly gguf: GgufTokenizer;
}

/** The small checkpoint's, which has the nano shape's vocabulary; for the published one, whose own isn't at hand, one of its size. */
async function tokenizerFor(shape: ShapeName): Promise<SynthTokenizer> {
  const { vocabSize } = SHAPES[shape];
  const [json, settings] = shape === "nano" ? await smallTokenizer() : [madeUpTokenizer(), TOKENIZER_CONFIG];
  const encode = (name: string, content: unknown) => ({
    name,
    bytes: new TextEncoder().encode(JSON.stringify(content)),
  });
  return {
    files: [encode("tokenizer.json", json), encode("tokenizer_config.json", settings)],
    gguf: tokenizerFromJson(json, vocabSize),
  };
}

async function smallTokenizer(): Promise<[TokenizerJson, unknown]> {
  const [json, settings] = await Promise.all(
    ["tokenizer.json", "tokenizer_config.json"].map(
      async (name) => JSON.parse(await readFile(join(SMALL_CHECKPOINT, name), "utf8")) as unknown,
    ),
  );
  return [json as TokenizerJson, settings];
}

/** What transformers needs beside a tokenizer.json. */
const TOKENIZER_CONFIG = {
  bos_token: "<|startoftext|>",
  eos_token: "<|return|>",
  pad_token: "<|endoftext|>",
  model_input_names: ["input_ids", "attention_mask"],
  tokenizer_class: "PreTrainedTokenizerFast",
};

/** Shows how far it is, where somebody watches. */
function progressBar(): (written: number, total: number) => void {
  if (!process.stderr.isTTY) return () => {};
  let shown = -1;
  return (written, total) => {
    const percent = Math.floor((100 * written) / total);
    if (percent === shown) return;
    shown = percent;
    process.stderr.write(
      written === total ? "\r\u001b[K" : `\r${percent} % of ${(total / 1e9).toFixed(1)} GB`,
    );
  };
}
