import { Hono } from "hono";
import { z } from "zod";
import type { Steps } from "../tokenizer/steps.ts";
import { type CompletionPiece, textCompletion, textCompletionChunks } from "./completions-view.ts";
import {
  findModel,
  type Limits,
  type RequestInfo,
  type ServedModel,
  type ServerContext,
  type ServerEnv,
  tokenizerOf,
} from "./context.ts";
import { limitedTokenizer, maxTokensOf } from "./conversation.ts";
import { invalid } from "./errors.ts";
import { countCached, countPrompt, measured } from "./measure.ts";
import { type PromptToken, scorePrompt } from "./prompt-logprobs.ts";
import { type SamplingFields, samplingOf, samplingShape } from "./sampling.ts";
import { raisedByClients, sseResponse } from "./sse.ts";
import { parseBody, readJson } from "./validation.ts";

/** Body of POST /v1/completions: what the server heeds of it. */
export interface CompletionBody extends SamplingFields {
  readonly model: string;
  /** A text or token ids, or several of one kind. */
  readonly prompt: string | readonly string[] | readonly number[] | readonly (readonly number[])[];
  readonly max_tokens?: number | undefined;
  readonly echo?: boolean | undefined;
  readonly logprobs?: number | undefined;
  readonly n?: number | undefined;
  readonly stop?: string | readonly string[] | undefined;
  readonly stream?: boolean | undefined;
  readonly stream_options?: { readonly include_usage?: boolean | null | undefined } | undefined;
}

/** Token ids in one request, and prompts. */
const [MAX_IDS, MAX_PROMPTS] = [2 ** 19, 1024];
const ids = z.array(z.int().min(0)).min(1);
const PROMPT = "expected a text or token ids, or an array of one kind";

/** Ahead of the schema, which reports each value that is wrong once for each branch: that takes seconds for many. */
function checkPrompt(prompt: unknown, context: z.RefinementCtx): unknown {
  const isId = (each: unknown): boolean => Number.isSafeInteger(each) && (each as number) >= 0;
  const isIds = (each: unknown): boolean => Array.isArray(each) && each.every(isId);
  const isText = (each: unknown): boolean => typeof each === "string";
  if (!Array.isArray(prompt) || isIds(prompt)) return prompt;
  if (prompt.length <= MAX_PROMPTS && (prompt.every(isText) || prompt.every(isIds))) return prompt;
  context.addIssue({ code: "custom", message: PROMPT });
  return z.NEVER;
}

export const completionBody: z.ZodType<CompletionBody> = z.object({
  model: z.string(),
  prompt: z.preprocess(
    checkPrompt,
    z.union([z.string(), ids, z.array(z.string()).min(1), z.array(ids).min(1)], PROMPT),
  ),
  max_tokens: z.int().min(0).optional(),
  echo: z.boolean().optional(),
  logprobs: z.int().min(0).max(5).optional(),
  n: z.int().min(1).optional(),
  ...samplingShape,
  stop: z.union([z.string(), z.array(z.string()).max(4)], "expected a text, or up to 4").optional(),
  stream: z.boolean().optional(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).optional(),
  suffix: z.never("gpt-oss wasn't trained to fill gaps").optional(),
  best_of: z.literal(1, "the server returns all that it generates; use n").optional(),
});

/** Raw text or ids, without Harmony: what the model goes on with is what it was given. */
export function completionRoutes(context: ServerContext): Hono<ServerEnv> {
  return new Hono<ServerEnv>().post("/v1/completions", async (c) => {
    const info = c.get("info");
    const { limits } = context;
    const jsonValues = Math.max(limits.jsonValues, MAX_IDS);
    const body = parseBody(completionBody, await readJson(c.req.raw, { ...limits, jsonValues }));
    const request = await readRequest(context, info, body);
    const stop = new AbortController();
    const { choices, usage, first } = start(context, info, request, stop);
    await first.catch((error: unknown) => {
      stop.abort();
      throw error;
    });
    const about = {
      id: context.newId("cmpl-"),
      created: Math.floor(context.now() / 1000),
      model: request.served.id,
    };
    if (!body.stream) return c.json(await textCompletion(about, choices, stop, usage));
    const events = textCompletionChunks(
      about,
      choices,
      stop,
      usage,
      body.stream_options?.include_usage ?? false,
    );
    return sseResponse(info, events, raisedByClients(context));
  });
}

interface CompletionRequest {
  readonly served: ServedModel;
  readonly body: CompletionBody;
  readonly prompts: readonly { readonly ids: readonly number[]; readonly maxTokens: number }[];
  readonly copies: number;
}

async function readRequest(
  context: ServerContext,
  info: RequestInfo,
  body: CompletionBody,
): Promise<CompletionRequest> {
  const { limits, admission } = context;
  const { n: copies = 1, max_tokens: asked = 16, echo = false } = body;
  if (copies > limits.choices) throw invalid("n", `'n': at most ${limits.choices}, found ${copies}.`);
  if (asked === 0 && !echo)
    throw invalid("max_tokens", "'max_tokens': 0 leaves nothing to return without 'echo'.");
  const served = findModel(context, body.model);
  const texts = promptsOf(body.prompt);
  const total = texts.length * copies;
  if (total > admission.capacity) {
    throw invalid("prompt", `'prompt': at most ${admission.capacity} generations a request, found ${total}.`);
  }
  if ([body.stop ?? []].flat().some((text) => text !== "")) tokenizerOf(served);
  const { vocabSize } = served.model.config;
  const encoded = await context.timeShare.run(encode(served, limits, texts), info.abort.signal);
  const prompts = encoded.map((ids) => {
    if (ids.length === 0) throw invalid("prompt", "'prompt': a prompt has at least one token.");
    const bad = ids.find((id) => id >= vocabSize);
    if (bad !== undefined)
      throw invalid("prompt", `'prompt': token ids are below ${vocabSize}, found ${bad}.`);
    return { ids, ...maxTokensOf(served, limits, ids.length, asked, "prompt") };
  });
  return { served, body, prompts, copies };
}

function* encode(
  served: ServedModel,
  limits: Limits,
  prompts: readonly (string | readonly number[])[],
): Steps<(readonly number[])[]> {
  const encoded: (readonly number[])[] = [];
  for (const prompt of prompts)
    encoded.push(
      typeof prompt === "string"
        ? yield* limitedTokenizer(served, limits, "prompt").encodeSteps(prompt)
        : prompt,
    );
  return encoded;
}

function promptsOf(prompt: CompletionBody["prompt"]): readonly (string | readonly number[])[] {
  if (typeof prompt === "string") return [prompt];
  return typeof prompt[0] === "number" ? [prompt as number[]] : (prompt as string[] | number[][]);
}

function start(context: ServerContext, info: RequestInfo, request: CompletionRequest, stop: AbortController) {
  const { prompts, copies } = request;
  const signal = AbortSignal.any([info.abort.signal, stop.signal]);
  const slots = context.admission.enter(info.client, signal, prompts.length * copies);
  const promptTokens = prompts.reduce((sum, { ids }) => sum + ids.length, 0);
  const usage = { prompt: promptTokens, cached: 0, generated: 0 };
  countPrompt(context, info, promptTokens);
  const choices = slots.map((slot, choice) => {
    const counts: Counts = {
      generated: () => void usage.generated++,
      reused(tokens) {
        if (choice % copies > 0) return; // a prompt counts once
        usage.cached += tokens;
        countCached(context, info, tokens);
      },
    };
    const write = (signal: AbortSignal) => pieces(request, choice, signal, counts);
    return measured(context, info, slot, write);
  });
  return { choices, usage, first: slots[0]! };
}

interface Counts {
  generated(): void;
  reused(tokens: number): void;
}

/** What one choice consists of: the prompt's tokens, if they are asked for, then the generated ones. */
async function* pieces(
  { served, body, prompts, copies }: CompletionRequest,
  choice: number,
  signal: AbortSignal,
  counts: Counts,
): AsyncGenerator<CompletionPiece, void, void> {
  const { model, source } = served;
  const { ids, maxTokens } = prompts[Math.floor(choice / copies)]!;
  const { echo = false, logprobs } = body;
  const stop = [body.stop ?? []].flat().filter((text) => text !== "");
  const nameOf = (id: number): string => model.tokenizer?.decode([id]) ?? `token_id:${id}`;
  const piece = (token: PromptToken, text: string, isPrompt: boolean): CompletionPiece => ({
    id: token.id,
    text,
    isPrompt,
    ...(logprobs !== undefined && {
      logprobs: {
        token: nameOf(token.id),
        logprob: token.logprob,
        top: token.topLogprobs.map((top) => ({ ...top, token: nameOf(top.id) })),
      },
    }),
  });

  if (echo) {
    const decoder = model.tokenizer?.stream();
    const scored = logprobs === undefined ? ids.map(unscored) : scorePrompt(model, ids, logprobs, signal);
    for await (const token of scored) yield piece(token, decoder?.push(token.id) ?? "", true);
  }
  if (maxTokens === 0) {
    yield { text: "", isPrompt: true, finishReason: "length" };
    return;
  }
  const sampling = samplingOf(body, choice);
  const generated = source.generate(ids, {
    ...sampling.options,
    maxTokens,
    stop,
    topLogprobs: logprobs ?? 0,
    onReuse: counts.reused,
    signal,
  });
  for await (const token of generated) {
    sampling.push(token.id);
    counts.generated();
    const { finishReason } = token;
    yield { ...piece(token, token.text, false), ...(finishReason && { finishReason }) };
  }
}

function unscored(id: number): PromptToken {
  return { id, logprob: null, topLogprobs: [] };
}
