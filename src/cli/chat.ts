import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { GptOssError } from "../errors.ts";
import { chat } from "../generation/chat.ts";
import { load } from "../generation/model.ts";
import type { Message, ReasoningEffort } from "../harmony/index.ts";
import {
  type EngineFlags,
  effortOption,
  engineFlags,
  integer,
  loadOptions,
  modelOption,
  modelPath,
  number,
  preamble,
} from "./arguments.ts";
import { dim, printable, today } from "./terminal.ts";

export function register(program: Command): void {
  const command = program
    .command("chat")
    .description("talk with a model; its reasoning is dimmed")
    .addOption(modelOption())
    .addOption(effortOption())
    .option("--instructions <text>", "instructions for the developer message")
    .option(
      "--temperature <t>",
      "0 is greedy (default: the checkpoint's generation_config, else 1)",
      number(0, 100),
    )
    .option("--seed <s>", "seed of the sampling", integer(Number.MIN_SAFE_INTEGER), 0)
    .option("--date <yyyy-mm-dd>", "date that the model is told", today());
  engineFlags(command).action(run);
}

interface Options extends EngineFlags {
  model?: string;
  effort: ReasoningEffort;
  instructions?: string;
  temperature?: number;
  seed: number;
  date: string;
}

const HELP =
  "/effort low|medium|high, /new for a new conversation, /exit or Ctrl-D to leave; Ctrl-C stops an answer";

async function run(options: Options): Promise<void> {
  const { stdout } = process;
  await using model = await load(modelPath(options.model), loadOptions(options));
  stdout.write(`${dim(`${model.checkpoint.location}. ${HELP}`, stdout)}\n`);

  let effort = options.effort;
  let history: Message[] = [];
  const input = createInterface({ input: process.stdin, output: stdout, terminal: stdout.isTTY });
  input.setPrompt(stdout.isTTY ? "> " : "");
  let answering: AbortController | undefined;
  input.on("SIGINT", () => (answering ? answering.abort() : input.close()));

  input.prompt();
  for await (const line of input) {
    const text = line.trim();
    const [command, argument] = text.split(/\s+/) as [string, string?];
    if (command === "/exit") break;
    if (command === "/new") history = [];
    else if (command === "/effort" && isEffort(argument)) effort = argument;
    else if (text.startsWith("/")) stdout.write(`${dim(HELP, stdout)}\n`);
    else if (text !== "") {
      const question: Message = { role: "user", content: text };
      answering = new AbortController();
      const written = await answer(
        [...preamble({ ...options, effort }), ...history, question],
        answering.signal,
      );
      answering = undefined;
      if (written) history.push(question, ...written);
    }
    input.prompt();
  }
  input.close();

  /** Prints the answer as it comes; returns the messages that the model wrote, unless it was stopped or failed. */
  async function answer(messages: readonly Message[], signal: AbortSignal): Promise<Message[] | undefined> {
    const written: Message[] = [];
    const { temperature, seed } = options;
    try {
      for await (const { header, delta, message } of chat(model, messages, {
        seed,
        signal,
        ...(temperature !== undefined && { temperature }),
      })) {
        const text = printable(delta, stdout);
        stdout.write(header?.channel === "final" ? text : dim(text, stdout));
        if (message) {
          written.push(message);
          stdout.write("\n");
        }
      }
      return written;
    } catch (error) {
      if (!signal.aborted && !(error instanceof GptOssError)) throw error;
      const reason = signal.aborted ? "(stopped)" : `${(error as Error).message} (/new starts afresh)`;
      stdout.write(`\n${dim(reason, stdout)}\n`);
      return undefined;
    }
  }
}

function isEffort(text: string | undefined): text is ReasoningEffort {
  return text === "low" || text === "medium" || text === "high";
}
