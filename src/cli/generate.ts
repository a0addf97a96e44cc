import { text as readAll } from "node:stream/consumers";
import type { Command } from "commander";
import { openingMessages } from "../agent/prompt.ts";
import { UsageError } from "../errors.ts";
import { type ChatToken, chat } from "../generation/chat.ts";
import type { GeneratedToken, GenerateOptions } from "../generation/generate.ts";
import { load, type Model } from "../generation/model.ts";
import type { Message, ReasoningEffort } from "../harmony/index.ts";
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
  readIds,
} from "./arguments.ts";
import { type AnswerFormat, answerFormat, type FormatFlags, formatFlags } from "./format.ts";
import { dim, printable, today } from "./terminal.ts";

interface Options extends EngineFlags, FormatFlags {
  model?: string;
  ids?: string;
  maxTokens?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  seed: number;
  stop: string[];
  logprobs: number;
  effort: ReasoningEffort;
  instructions?: string;
  date: string;
  json?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command("generate")
    .description("answer one prompt; the answer goes to stdout, the reasoning to stderr")
    .argument("[prompt]", 'the question ("-", or nothing in a pipe: read it from stdin)')
    .addOption(modelOption())
    .option("--ids <file>", "raw token ids from a JSON file, without Harmony, in place of a prompt")
    .option("--max-tokens <n>", "tokens to generate at most (default: until the context is full)", integer(1))
    .option(
      "--temperature <t>",
      "0 is greedy (default: as the checkpoint's generation_config says, else 1; with --ids, 0)",
      number(0, 100),
    )
    .option("--top-k <k>", "sample from the k most probable tokens", integer(0))
    .option("--top-p <p>", "sample from the most probable tokens up to this probability", number(0, 1))
    .option("--min-p <p>", "sample from tokens at least this fraction as probable as the best", number(0, 1))
    .option("--seed <s>", "seed of the sampling", integer(Number.MIN_SAFE_INTEGER), 0)
    .option(
      "--stop <text>",
      "end at this text (repeatable)",
      (text: string, all: string[]) => [...all, text],
      [],
    )
    .option("--logprobs <n>", "with --json: also the n most probable tokens at each step", integer(0), 0)
    .addOption(effortOption())
    .option("--instructions <text>", "instructions for the developer message")
    .option("--date <yyyy-mm-dd>", "date that the model is told", calendarDate, today());
  formatFlags(command);
  engineFlags(command).option("--json", "print {ids, text, logprobs, finish_reason, timing}").action(run);
}

async function run(prompt: string | undefined, options: Options): Promise<void> {
  if (prompt !== undefined && options.ids !== undefined) {
    throw new UsageError("a prompt and --ids exclude each other");
  }
  const ids = options.ids === undefined ? undefined : await readIds(options.ids);
  const format = await answerFormat(options);
  if (format && (ids || options.stop.length > 0)) {
    throw new UsageError("a format of the answer excludes --ids and --stop");
  }
  const opening = openingMessages({ ...options, tools: [], responseFormat: format?.told });
  const messages = ids ? [] : [...opening, question(await readPrompt(prompt))];

  const start = performance.now();
  await using model = await load(modelPath(options.model), loadOptions(options));
  const loaded = performance.now();
  const tokens: AnyToken[] = [];
  const times: number[] = [];
  const stream = ids
    ? model.generate(ids, generateOptions({ temperature: 0, ...options }))
    : chat(model, messages, {
        ...generateOptions(options),
        ...(format && { responseFormat: format.grammar }),
      });
  const show = options.json ? undefined : ids ? plainWriter(model) : harmonyWriter(format);
  for await (const token of stream) {
    tokens.push(token);
    times.push(performance.now());
    show?.(token);
  }
  if (format && tokens.at(-1)?.finishReason !== "stop") process.exitCode = 1;
  if (options.json) console.log(JSON.stringify(result(model, tokens, { start, loaded, times }, options)));
}

function question(content: string): Message {
  return { role: "user", content };
}

/** Options that the user gave; the rest is left to the model's defaults. */
function generateOptions(options: Omit<Options, "effort" | "date" | keyof EngineFlags>): GenerateOptions {
  const { maxTokens, temperature, topK, topP, minP, seed, stop, logprobs } = options;
  return {
    seed,
    stop,
    topLogprobs: logprobs,
    ...(maxTokens !== undefined && { maxTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(topK !== undefined && { topK }),
    ...(topP !== undefined && { topP }),
    ...(minP !== undefined && { minP }),
  };
}

async function readPrompt(prompt: string | undefined): Promise<string> {
  if (prompt !== undefined && prompt !== "-") return prompt;
  if (process.stdin.isTTY && prompt === undefined) {
    throw new UsageError("no prompt", { hint: 'Try: gpt-oss generate "What is 47 + 38?"' });
  }
  const text = (await readAll(process.stdin)).trim();
  if (text === "") throw new UsageError("no prompt", { where: "stdin" });
  return text;
}

/** A token, from Harmony or raw. */
type AnyToken = GeneratedToken & Partial<ChatToken>;

/** Text, or ids where there is no tokenizer. */
function plainWriter(model: Model): (token: AnyToken) => void {
  return ({ id, text, finishReason }) => {
    process.stdout.write(model.tokenizer ? printable(text, process.stdout) : `${id} `);
    if (finishReason) process.stdout.write("\n");
  };
}

/** The answer plain on stdout, all else dimmed on stderr. */
function harmonyWriter(format: AnswerFormat | undefined): (token: AnyToken) => void {
  if (format) return formatWriter(harmonyWriter(undefined));
  return ({ header, delta = "", message, finishReason }) => {
    const isAnswer = header?.channel === "final";
    if (isAnswer) process.stdout.write(printable(delta, process.stdout));
    else process.stderr.write(dim(printable(delta, process.stderr), process.stderr));
    if (message || finishReason) (isAnswer ? process.stdout : process.stderr).write("\n");
  };
}

/** Holds the answer back until it is whole: stdout gets all of it or nothing. */
function formatWriter(show: (token: AnyToken) => void): (token: AnyToken) => void {
  let answer = "";
  return (token) => {
    const isAnswer = token.header?.channel === "final";
    if (isAnswer) answer += token.delta ?? "";
    else show(token);
    if (token.finishReason === "stop") process.stdout.write(`${printable(answer, process.stdout)}\n`);
    else if (token.finishReason) {
      if (answer !== "") console.error(printable(answer, process.stderr));
      console.error(
        "gpt-oss: the answer isn't whole: the limit of tokens came first. Try a higher --max-tokens.",
      );
    }
  };
}

interface Times {
  readonly start: number;
  readonly loaded: number;
  /** When each token came. */
  readonly times: readonly number[];
}

function result(
  model: Model,
  tokens: readonly AnyToken[],
  { start, loaded, times }: Times,
  options: Options,
): unknown {
  const first = times[0] ?? loaded;
  const last = times.at(-1) ?? first;
  const decodeSeconds = (last - first) / 1000;
  const channel = (name: string): string =>
    tokens.flatMap((token) => (token.header?.channel === name ? [token.delta] : [])).join("");
  const text = options.ids
    ? { text: model.tokenizer ? tokens.map((token) => token.text).join("") : null }
    : { text: channel("final"), reasoning: channel("analysis") };
  return {
    ids: tokens.map(({ id }) => id),
    ...text,
    logprobs: tokens.map(({ logprob }) => logprob),
    ...(options.logprobs > 0 && { top_logprobs: tokens.map(({ topLogprobs }) => topLogprobs) }),
    finish_reason: tokens.at(-1)?.finishReason,
    timing: {
      load_ms: Math.round(loaded - start),
      first_token_ms: Math.round(first - loaded),
      total_ms: Math.round(last - start),
      tokens_per_second: decodeSeconds > 0 ? Number(((tokens.length - 1) / decodeSeconds).toFixed(2)) : null,
    },
  };
}
