import { type Command, Option } from "commander";
import { writeWhole } from "../checkpoint/export/file-node.ts";
import { type GgufDenseType, planGgufExport } from "../checkpoint/export/gguf.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { modelPath, readText } from "./arguments.ts";
import { loadProgress } from "./progress.ts";

interface Options {
  readonly out: string;
  readonly dense?: GgufDenseType;
  readonly name?: string;
  readonly chatTemplate?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program
    .command("export")
    .description("write a checkpoint as the GGUF file that llama.cpp's converter makes of it")
    .argument("[model]", "checkpoint folder or .gguf file (default: the small checkpoint)")
    .addOption(new Option("--format <name>", "file layout").choices(["gguf"]).makeOptionMandatory())
    .requiredOption("--out <file>", "file to write; it appears when it is whole")
    .addOption(
      new Option("--dense <type>", "type of embeddings and attention (default: the checkpoint's)").choices([
        ...["bf16", "f16", "f32", "q8_0"],
      ]),
    )
    .option("--name <text>", "general.name")
    .option("--chat-template <file>", "Jinja template to put in (default: the checkpoint's, if it has one)")
    .option("--json", "print the result as JSON")
    .action(run);
}

async function run(path: string | undefined, options: Options): Promise<void> {
  const { out, dense, name, chatTemplate, json } = options;
  const template = chatTemplate === undefined ? undefined : await readText(chatTemplate, "the template");
  const checkpoint = await openCheckpoint(modelPath(path));
  let onInterrupt: (() => void) | undefined;
  try {
    const started = performance.now();
    const plan = await planGgufExport(checkpoint, {
      ...(dense !== undefined && { dense }),
      ...(name !== undefined && { name }),
      ...(template !== undefined && { chatTemplate: template }),
    });
    await writeWhole(
      out,
      plan.bytes,
      (file) => plan.write(file, loadProgress("writing")),
      (abandon) => {
        onInterrupt = () => void abandon().finally(() => process.exit(130));
        process.once("SIGINT", onInterrupt);
      },
    );
    const seconds = (performance.now() - started) / 1000;
    const { bytes, tensors } = plan;
    if (json) {
      console.log(
        JSON.stringify({ out, bytes, tensors: tensors.length, chatTemplate: plan.chatTemplate, seconds }),
      );
      return;
    }
    console.log(`${out}: ${tensors.length} tensors, ${bytes} bytes in ${seconds.toFixed(1)} s`);
    if (!plan.chatTemplate) {
      console.log(
        "The checkpoint has no chat template: llama.cpp needs --chat-template-file to chat with it.",
      );
    }
  } finally {
    if (onInterrupt) process.off("SIGINT", onInterrupt);
    await checkpoint.close();
  }
}
