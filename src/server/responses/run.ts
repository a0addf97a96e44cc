import { cutToTokens, recipientOf, resolve, runCall } from "../../agent/calls.ts";
import { renderPrompt, renderShown } from "../../agent/prompt.ts";
import { complete } from "../../generation/chat.ts";
import type { GenerateOptions } from "../../generation/generate.ts";
import { type Message, renderMessage } from "../../harmony/index.ts";
import type { ToolResult } from "../../tools/index.ts";
import { type RequestInfo, type ServedModel, type ServerContext, tokenizerOf } from "../context.ts";
import { limitedTokenizer, maxTokensOf } from "../conversation.ts";
import { ApiError } from "../errors.ts";
import { countCached, countPrompt } from "../measure.ts";
import { samplingOf } from "../sampling.ts";
import type { Output } from "./output.ts";
import type { ResponseEvent } from "./output-items.ts";
import type { CreateResponse } from "./request.ts";
import { isClients, type OpenTools } from "./tools.ts";

/** All that the generation of a response needs. */
export interface Job {
  readonly request: CreateResponse;
  readonly context: ServerContext;
  readonly served: ServedModel;
  readonly info: RequestInfo;
  readonly tools: OpenTools;
  /** System and developer message. */
  readonly opening: readonly Message[];
  /** What was said so far, up to and including the request's input. */
  readonly conversation: readonly Message[];
  readonly output: Output;
}

/** Calls of the server's own tools in one response, where the request sets no limit. */
const MAX_CALLS = 50;
/** Calls that the model may try in vain once it is told that it has had enough. */
const MAX_VAIN_CALLS = 8;
/** As in Agent. */
const CALL_LIMITS = { seconds: 130, characters: 32_000 };

/**
 * Tokens of the prompt.
 *
 * @throws ApiError 400 if they are more than the context holds, even after `truncation: "auto"` has left out old turns
 */
export async function promptOf(job: Job, signal: AbortSignal): Promise<number[]> {
  const { request, context, served, opening, conversation } = job;
  const tokenizer = tokenizerOf(served);
  const length = contextLength(context, served);
  const limit = length - Math.min(1024, Math.floor(length / 4));
  const ids =
    request.truncation === "auto"
      ? (await context.timeShare.run(renderPrompt(tokenizer, opening, conversation, 0, limit), signal)).ids
      : await context.timeShare.run(
          renderShown(limitedTokenizer(served, context.limits, "input"), opening, conversation),
          signal,
        );
  maxTokensOf(served, context.limits, ids.length, undefined, "input");
  return ids;
}

/**
 * The loop of reasoning, calls and results: generates until the model answers, calls one of the client's functions, or has
 * used up its tokens.
 *
 * @param prompt as `promptOf` gives it
 */
export async function* generateOutput(
  job: Job,
  prompt: readonly number[],
  signal: AbortSignal,
): AsyncGenerator<ResponseEvent, "completed" | "incomplete", void> {
  const { request, context, served, info, tools, opening, output } = job;
  const tokenizer = tokenizerOf(served);
  const length = contextLength(context, served);
  const sampling = samplingOf(request);
  const said = [...job.conversation];
  const maxCalls = request.max_tool_calls ?? MAX_CALLS;
  let left = request.max_output_tokens ?? Number.POSITIVE_INFINITY;
  let ids = prompt;
  for (let calls = 0; ; calls++) {
    const formats = calls === 0 ? tools.first : tools.later;
    const { maxTokens } = maxTokensOf(served, context.limits, ids.length, left, "input");
    const generated: number[] = [];
    let message: Message | undefined;
    let isCut = false;
    let isWellFormed = true;
    const promptTokens = ids.length;
    const options: GenerateOptions = {
      ...sampling.options,
      topLogprobs: request.top_logprobs,
      maxTokens,
      signal,
      onPrefill: (done, total) => {
        if (done < total) return;
        countPrompt(context, info, promptTokens);
        countCached(context, info, promptTokens - total);
      },
    };
    let last: number | undefined;
    for await (const token of complete(served.source, ids, { ...options, ...formats })) {
      generated.push(token.id);
      sampling.push(token.id);
      info.tokens.generated++;
      context.metrics.tokens.inc({ kind: "generated" });
      const now = performance.now();
      if (last !== undefined) context.metrics.tokenLatency.observe((now - last) / 1000);
      else if (calls === 0) context.metrics.firstToken.observe((now - info.start) / 1000);
      last = now;
      isWellFormed &&= token.repairs === undefined;
      isCut = token.finishReason === "length";
      yield* output.token(token);
      if (token.message && !isCut) {
        message = token.message;
        said.push(message);
      }
    }
    left -= generated.length;
    if (isCut) {
      yield* output.stop();
      return "incomplete";
    }
    if (!message || recipientOf(message) === undefined) return "completed";
    const { tool, call } = resolve(tools.all, message);
    const kind = tool && tools.kinds.get(tool);
    if (kind && isClients(kind)) return "completed";

    yield* output.call(call);
    if (calls >= maxCalls + MAX_VAIN_CALLS) throw new ApiError(500, "The model went on calling tools.");
    const room = Math.min(left, length - ids.length - generated.length);
    const result: ToolResult =
      calls < maxCalls
        ? await runCall(tools.all, tool, call, CALL_LIMITS, signal)
        : { text: "[ERROR] No more calls are allowed. Answer with what you know.", isError: true };
    const text = cutToTokens(result.text, Math.floor(room / 2), tokenizer);
    const reply: Message = {
      role: "tool",
      name: call.recipient,
      recipient: "assistant",
      channel: message.channel ?? "commentary",
      content: text,
    };
    said.push(reply);
    yield* output.answer(message, reply, { ...result, text });
    // the model reads on behind its own tokens, unless they were such that it had better see them put right
    const isCall = generated.at(-1) === tokenizer.specialId("<|call|>");
    ids =
      isWellFormed && isCall
        ? [...ids, ...generated, ...renderMessage(tokenizer, reply), ...startOfAnswer(tokenizer)]
        : await context.timeShare.run(renderShown(tokenizer, opening, said), signal);
    if (left <= 0 || ids.length >= length) return "incomplete";
  }
}

function startOfAnswer(tokenizer: ReturnType<ServedModel["model"]["requireTokenizer"]>): number[] {
  return [tokenizer.specialId("<|start|>"), ...tokenizer.encode("assistant")];
}

function contextLength({ limits }: ServerContext, { model }: ServedModel): number {
  return Math.min(limits.contextTokens, model.config.maxContextLength);
}
