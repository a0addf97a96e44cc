import { Hono } from "hono";
import { renderShown } from "../agent/prompt.ts";
import { complete } from "../generation/chat.ts";
import type { StructuredOptions } from "../generation/structured.ts";
import { readMessages } from "./chat-messages.ts";
import { type ChatBody, type ChatTool, type ChatToolChoice, chatBody } from "./chat-schema.ts";
import { type ChatUsage, chunks, completion } from "./chat-view.ts";
import {
  findModel,
  type RequestInfo,
  type ServedModel,
  type ServerContext,
  type ServerEnv,
  tokenizerOf,
} from "./context.ts";
import {
  type AnswerFormat,
  type CallChoice,
  effortOf,
  type FunctionDeclaration,
  formatsOf,
  limitedTokenizer,
  maxTokensOf,
  openingOf,
} from "./conversation.ts";
import { invalid } from "./errors.ts";
import { countCached, countPrompt, measured } from "./measure.ts";
import { samplingOf } from "./sampling.ts";
import { raisedByClients, sseResponse } from "./sse.ts";
import { readTurn, type TurnEvent } from "./turn.ts";
import { parseBody, readJson } from "./validation.ts";

export function chatRoutes(context: ServerContext): Hono<ServerEnv> {
  return new Hono<ServerEnv>().post("/v1/chat/completions", async (c) => {
    const info = c.get("info");
    const body = parseBody(chatBody, await readJson(c.req.raw, context.limits));
    const request = await readRequest(context, info, body);
    const { usage, choices, stop, first } = start(context, info, request);
    const about = {
      id: context.newId("chatcmpl-"),
      created: Math.floor(context.now() / 1000),
      model: request.served.id,
    };
    await first;
    if (!body.stream) return c.json(await completion(about, choices, stop, usage, context.newId));
    const events = chunks(
      about,
      choices,
      stop,
      usage,
      context.newId,
      body.stream_options?.include_usage ?? false,
    );
    return sseResponse(info, events, raisedByClients(context));
  });
}

/** A request whose parts are all known to be in order. */
interface ChatRequest {
  readonly served: ServedModel;
  readonly body: ChatBody;
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly functions: readonly FunctionDeclaration[];
  readonly formats: StructuredOptions;
  readonly stop: readonly string[];
  readonly choices: number;
}

async function readRequest(context: ServerContext, info: RequestInfo, body: ChatBody): Promise<ChatRequest> {
  const { limits } = context;
  const { n: choices = 1, messages, tools = [] } = body;
  const most = (count: number, limit: number, param: string): void => {
    if (count > limit) throw invalid(param, `'${param}': at most ${limit}, found ${count}.`);
  };
  most(choices, Math.min(limits.choices, context.admission.capacity), "n");
  most(messages.length, limits.messages, "messages");
  most(tools.length, limits.tools, "tools");
  const served = findModel(context, body.model);
  const functions = tools.map(readTool);
  const format = readFormat(body);
  const stop = [body.stop ?? []].flat().filter((text) => text !== "");
  if (stop.length > 0 && format.type !== "text")
    throw invalid("stop", "'stop' and a 'response_format' exclude each other: the answer would be cut.");
  const formats = formatsOf(functions, readChoice(body.tool_choice), format, limits);

  const conversation = readMessages(messages);
  const opening = openingOf({
    effort: effortOf(body.reasoning_effort),
    date: context.today(),
    instructions: conversation.instructions,
    functions,
    format,
  });
  const tokenizer = limitedTokenizer(served, limits, "messages");
  const rendering = renderShown(tokenizer, opening, conversation.messages);
  const prompt = await context.timeShare.run(rendering, info.abort.signal);
  const asked = body.max_completion_tokens ?? body.max_tokens;
  const { maxTokens } = maxTokensOf(served, limits, prompt.length, asked, "messages");
  return { served, body, prompt, maxTokens, functions, formats, stop, choices };
}

function readTool(
  { function: declared }: ChatTool,
  i: number,
  all: readonly ChatTool[],
): FunctionDeclaration {
  const { name, description, parameters, strict } = declared;
  const param = `tools[${i}].function`;
  if (all.findIndex((other) => other.function.name === name) < i)
    throw invalid(`${param}.name`, `'${param}.name': there is another function '${name}'.`);
  return {
    name,
    description: description ?? "",
    parameters: parameters ?? undefined,
    strict: strict ?? false,
    param,
  };
}

function readChoice(choice: ChatToolChoice = "auto"): CallChoice {
  if (typeof choice === "string") return { mode: choice };
  if (choice.type === "function") return { mode: "required", names: [choice.function.name] };
  const { mode, tools } = choice.allowed_tools;
  return { mode, names: tools.map((tool) => tool.function.name) };
}

function readFormat({ response_format: format = { type: "text" } }: ChatBody): AnswerFormat {
  if (format.type !== "json_schema") return format;
  const { name, description, schema = { type: "object" } } = format.json_schema;
  const param = "response_format.json_schema.schema";
  return { type: "json_schema", name, description: description ?? undefined, schema, param };
}

export interface Started {
  readonly usage: ChatUsage;
  /** What each choice's model writes. */
  readonly choices: readonly AsyncGenerator<TurnEvent, void, void>[];
  /** Ends all choices. */
  readonly stop: AbortController;
  /** Resolves when the first choice has its turn. */
  readonly first: Promise<unknown>;
}

function start(context: ServerContext, info: RequestInfo, request: ChatRequest): Started {
  const { served, body, prompt, functions } = request;
  const stop = new AbortController();
  const signal = AbortSignal.any([info.abort.signal, stop.signal]);
  const slots = context.admission.enter(info.client, signal, request.choices);
  const usage: ChatUsage = { prompt: prompt.length, cached: 0, generated: 0, reasoning: 0 };
  countPrompt(context, info, prompt.length);
  const tokenizer = tokenizerOf(served);
  const choices = slots.map((slot, choice) => {
    const sampling = samplingOf(body, choice);
    const write = (signal: AbortSignal) =>
      complete(served.source, prompt, {
        ...sampling.options,
        ...request.formats,
        maxTokens: request.maxTokens,
        stop: request.stop,
        topLogprobs: body.logprobs ? (body.top_logprobs ?? 0) : 0,
        onReuse(tokens) {
          if (choice > 0) return; // the prompt counts once
          usage.cached = tokens;
          countCached(context, info, tokens);
        },
        signal,
      });
    const counted = async function* () {
      for await (const token of measured(context, info, slot, write)) {
        sampling.push(token.id);
        usage.generated++;
        const { channel, recipient } = token.header ?? {};
        if (channel === "analysis" && recipient === undefined) usage.reasoning++;
        yield token;
      }
    };
    return readTurn(counted(), { tokenizer, functions, logprobs: body.logprobs ?? false });
  });
  const first = slots[0]!.catch((error: unknown) => {
    stop.abort();
    throw error;
  });
  return { usage, choices, stop, first };
}
