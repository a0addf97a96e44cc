import { randomInt } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import { Agent, type AgentEvent, conversationToJson, parseConversation } from "../agent/index.ts";
import { GptOssError, UsageError } from "../errors.ts";
import { load } from "../generation/model.ts";
import type { ReasoningEffort } from "../harmony/index.ts";
import type { Tool } from "../tools/index.ts";
import {
  calendarDate,
  type EngineFlags,
  effortOption,
  engineFlags,
  integer,
  loadOptions,
  modelOption,
  modelPath,
  number,
  readText,
} from "./arguments.ts";
import { ChatView } from "./chat-view.ts";
import { LineInput } from "./line-input.ts";
import { today } from "./terminal.ts";
import { TOOL_NAMES, Toolbox, type ToolFlags, toolFlags } from "./tools.ts";

export function register(program: Command): void {
  const command = program
    .command("chat")
    .description("talk with a model, which may use tools; its reasoning is dimmed")
    .addOption(modelOption())
    .addOption(effortOption())
    .option("--instructions <text>", "instructions for the developer message")
    .option(
      "--temperature <t>",
      "0 is greedy (default: the checkpoint's generation_config, else 1)",
      number(0, 100),
    )
    .option(
      "--seed <s>",
      "seed of the sampling (default: another each time)",
      integer(Number.MIN_SAFE_INTEGER),
    )
    .option(
      "--max-tokens <n>",
      "tokens to generate at a stretch (default: until the context is full)",
      integer(1),
    )
    .option("--date <yyyy-mm-dd>", "date that the model is told", calendarDate, today())
    .option("--fold", "show reasoning as one line (Ctrl-O unfolds it while the model thinks)")
    .option("--load <file>", "go on with a conversation that /save has written")
    .option("--yes", "let apply_patch change files without asking")
    .option("--no-history", "don't keep what was typed for the next time");
  toolFlags(command);
  engineFlags(command).action(run);
}

interface Options extends EngineFlags, ToolFlags {
  model?: string;
  effort: ReasoningEffort;
  instructions?: string;
  temperature?: number;
  seed?: number;
  maxTokens?: number;
  date: string;
  fold?: boolean;
  load?: string;
  yes?: boolean;
  history: boolean;
}

const HELP = `
/effort low|medium|high   how long to think
/tools [NAME …]           tools to use from now on: ${TOOL_NAMES.join(", ")}, or none
/instructions [TEXT]      what the model is told to heed; without a text, nothing
/fold                     reasoning as one line, or in full; while it thinks, Ctrl-O does it
/show                     what the latest answer has hidden: reasoning, long results
/retry                    answer the latest question again
/continue                 go on with an answer that was stopped or cut
/save FILE  /load FILE    keep a conversation, go on with one
/new                      forget this conversation
/exit                     leave; so does Ctrl-D. Ctrl-C stops an answer
A line that ends in \\ goes on in the next.`.trim();

const COMMANDS = HELP.match(/\/\w+/g)!;

async function run(options: Options, command: Command): Promise<void> {
  const { stdin, stdout } = process;
  const saved = options.load === undefined ? undefined : await readConversation(options.load);
  await using model = await load(modelPath(options.model), loadOptions(options));
  const toolbox = new Toolbox(options, options.model === undefined, model.requireTokenizer());
  await toolbox.use(options.mcp === undefined ? options.tools : [...options.tools, "mcp"]);
  const { temperature, maxTokens, instructions = saved?.instructions } = options;
  let seed = options.seed ?? randomInt(2 ** 31);
  const view = new ChatView(stdout, options.fold ?? false);
  await using agent = new Agent(model, {
    effort: saved && command.getOptionValueSource("effort") === "default" ? saved.effort : options.effort,
    date: options.date,
    ...(instructions !== undefined && { instructions }),
    ...(saved && { messages: saved.messages }),
  });
  useTools();
  using input = new LineInput(stdin, stdout, options.history && stdin.isTTY ? await readHistory() : []);
  if (input.isInteractive) {
    const names = toolbox.names.length > 0 ? ` with ${toolbox.names.join(", ")}` : "";
    view.note(`${model.checkpoint.location}${names}, effort ${agent.effort}. /help tells the commands.`);
    if (saved) view.note(`${saved.messages.length} messages from ${options.load}`);
  }

  for (;;) {
    const line = await input.next("> ", completions);
    if (line === undefined) break;
    const text = line.trim();
    if (/^\/(exit|quit|bye)$/i.test(text)) break;
    if (text === "") continue;
    try {
      if (/^\/[a-z]+(\s|$)/i.test(text)) await obey(text);
      else await answer((signal) => agent.run(text, { signal }));
    } catch (error) {
      const isKnown = error instanceof GptOssError || (error instanceof Error && "syscall" in error);
      if (!isKnown) throw error;
      view.note(error.message);
    }
    if (options.history && input.isInteractive) await writeHistory(input.history);
  }
  if (input.isInteractive) stdout.write("\n");

  async function obey(text: string): Promise<void> {
    const [name = "", ...words] = text.split(/\s+/);
    const rest = text.slice(name.length).trim();
    switch (name.toLowerCase()) {
      case "/help":
        view.note(HELP);
        break;
      case "/effort":
        if (!isEffort(rest))
          throw new UsageError("no such effort", { expected: "low, medium or high", found: rest || "none" });
        agent.effort = rest;
        view.note(`effort ${rest}`);
        break;
      case "/tools":
        if (rest !== "") {
          const names = words.flatMap((word) => word.split(","));
          await toolbox.use(names.filter((name) => name !== "" && name !== "none"));
          useTools();
        }
        view.note(`tools: ${toolbox.names.join(", ") || "none"}`);
        break;
      case "/instructions":
        agent.instructions = rest === "" ? undefined : rest;
        view.note(rest === "" ? "no instructions" : "the model is told so from now on");
        break;
      case "/fold":
        view.toggleFold();
        view.note(view.folded ? "reasoning is folded" : "reasoning is shown");
        break;
      case "/show":
        view.showDetails();
        break;
      case "/retry": {
        const question = agent.messages.findLast(({ role }) => role === "user");
        if (!question) throw new UsageError("there is no question yet");
        agent.takeBack();
        seed++;
        await answer((signal) => agent.run(question, { signal }));
        break;
      }
      case "/continue":
        await answer((signal) => agent.resume({ signal }));
        break;
      case "/save":
        if (rest === "") throw new UsageError("no file to save to", { hint: "/save FILE" });
        await writeFile(atHome(rest), conversationToJson({ ...conversation(), messages: agent.messages }));
        view.note(`${agent.messages.length} messages in ${rest}`);
        break;
      case "/load": {
        if (rest === "") throw new UsageError("no file to load", { hint: "/load FILE" });
        const { effort, instructions, messages } = await readConversation(rest);
        agent.clear(messages);
        agent.effort = effort;
        agent.instructions = instructions;
        view.note(`${messages.length} messages from ${rest}`);
        break;
      }
      case "/new":
        agent.clear();
        view.note("a new conversation");
        break;
      default:
        throw new UsageError(`no such command: ${name}`, { hint: "/help tells the commands." });
    }
  }

  /** Those of the toolbox; files are changed only after a look at what changes, where somebody can look. */
  function useTools(): void {
    agent.tools = toolbox.tools.map((tool): Tool => {
      const changesFiles = tool.namespace.tools.some(({ name }) => name === "apply_patch");
      if (!changesFiles || options.yes || !process.stdin.isTTY) return tool;
      return {
        ...tool,
        async call(call, context) {
          const isWanted = await input.confirm("Apply this patch?", context.signal);
          return isWanted ? tool.call(call, context) : { text: "The user declined.", isError: true };
        },
      };
    });
  }

  function conversation(): { effort: ReasoningEffort; instructions?: string } {
    const { effort, instructions } = agent;
    return { effort, ...(instructions !== undefined && { instructions }) };
  }

  /** Shows a turn as it goes; Ctrl-C ends it. */
  async function answer(start: (signal: AbortSignal) => AsyncIterable<AgentEvent>): Promise<void> {
    const controller = new AbortController();
    using _ = input.listen((key) => (key === "fold" ? view.toggleFold() : controller.abort()));
    view.begin(toolbox.browser?.citationStream());
    agent.generation = {
      seed,
      ...(temperature !== undefined && { temperature }),
      ...(maxTokens !== undefined && { maxTokens }),
      onPrefill: (done, total) => {
        if (done < total) view.status(`reading, ${done} of ${total} tokens`);
      },
    };
    try {
      for await (const event of start(controller.signal)) view.show(event);
    } catch (error) {
      if (!controller.signal.aborted) throw error;
      view.note("(stopped; /continue goes on)");
    }
  }
}

function completions(line: string): string[] {
  return line.startsWith("/")
    ? COMMANDS.filter((name) => name.startsWith(line)).map((name) => `${name} `)
    : [];
}

function isEffort(text: string): text is ReasoningEffort {
  return text === "low" || text === "medium" || text === "high";
}

/** A path as the user's shell would have read it. */
function atHome(path: string): string {
  return path.startsWith("~/") ? join(homedir(), path.slice(2)) : path;
}

async function readConversation(path: string): Promise<ReturnType<typeof parseConversation>> {
  return parseConversation(await readText(atHome(path), "the conversation"), path);
}

/** What was typed in earlier chats, a line each, latest last; only its owner can read it. */
const HISTORY = join(
  process.env["XDG_STATE_HOME"] || join(homedir(), ".local", "state"),
  "gpt-oss",
  "history",
);

async function readHistory(): Promise<string[]> {
  const text = await readFile(HISTORY, "utf8").catch(() => "");
  return text.split("\n").filter(Boolean).reverse();
}

async function writeHistory(latestFirst: readonly string[]): Promise<void> {
  const text = latestFirst
    .toReversed()
    .map((line) => `${line}\n`)
    .join("");
  try {
    await mkdir(dirname(HISTORY), { recursive: true });
    await writeFile(HISTORY, text, { mode: 0o600 });
  } catch {
    // a history is a convenience: a disk that is full or read-only is no reason to end a chat
  }
}
