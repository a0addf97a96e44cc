import { z } from "zod";

/*
 * What requests are answered with, where all goes well and nothing is streamed.
 */

const count = z.int().min(0);
const seconds = z.int().min(0);
const id = z.string().min(1);

const tokenLogprob = { token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() };

const chatCompletion = z.object({
  id,
  object: z.literal("chat.completion"),
  created: seconds,
  model: z.string(),
  choices: z
    .array(
      z.object({
        index: count,
        message: z.object({
          role: z.literal("assistant"),
          content: z.string().nullable(),
          refusal: z.null(),
          reasoning: z.string().describe("What the model thought ahead of its answer").optional(),
          reasoning_content: z.string().describe("The same by another name").optional(),
          tool_calls: z
            .array(
              z.object({
                id,
                type: z.literal("function"),
                function: z.object({ name: z.string(), arguments: z.string() }),
              }),
            )
            .min(1)
            .optional(),
        }),
        logprobs: z
          .object({
            content: z.array(z.object({ ...tokenLogprob, top_logprobs: z.array(z.object(tokenLogprob)) })),
            refusal: z.null(),
          })
          .nullable(),
        finish_reason: z.enum(["stop", "length", "tool_calls"]),
      }),
    )
    .min(1),
  usage: z.object({
    prompt_tokens: count,
    completion_tokens: count,
    total_tokens: count,
    prompt_tokens_details: z.object({ cached_tokens: count }),
    completion_tokens_details: z.object({ reasoning_tokens: count }),
  }),
});

const byToken = z.record(z.string(), z.number()).nullable();

const textCompletion = z.object({
  id,
  object: z.literal("text_completion"),
  created: seconds,
  model: z.string(),
  choices: z
    .array(
      z.object({
        index: count,
        text: z.string(),
        logprobs: z
          .object({
            tokens: z.array(z.string()),
            token_logprobs: z.array(z.number().nullable()),
            top_logprobs: z.array(byToken),
            text_offset: z.array(count),
            token_ids: z.array(count),
            top_token_ids: z.array(byToken).describe("As top_logprobs, by token id"),
          })
          .nullable(),
        token_ids: z.array(count).describe("Of what was generated"),
        finish_reason: z.enum(["stop", "length"]).nullable(),
      }),
    )
    .min(1),
  usage: z.object({
    prompt_tokens: count,
    completion_tokens: count,
    total_tokens: count,
    prompt_tokens_details: z.object({ cached_tokens: count }),
  }),
});

const item = z.looseObject({ id, type: z.string() }).describe("An item as OpenAI's API has it");

const response = z.object({
  id,
  object: z.literal("response"),
  created_at: seconds,
  status: z.enum(["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]),
  background: z.boolean(),
  completed_at: seconds.nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  incomplete_details: z.object({ reason: z.literal("max_output_tokens") }).nullable(),
  instructions: z.string().nullable(),
  max_output_tokens: count.nullable(),
  max_tool_calls: count.nullable(),
  metadata: z.record(z.string(), z.string()),
  model: z.string(),
  output: z.array(item),
  parallel_tool_calls: z.boolean(),
  previous_response_id: z.string().nullable(),
  prompt_cache_key: z.string().nullable(),
  reasoning: z.object({ effort: z.string(), summary: z.string().nullable() }),
  safety_identifier: z.string().nullable(),
  service_tier: z.literal("default"),
  store: z.boolean(),
  temperature: z.number(),
  text: z.object({ format: z.looseObject({ type: z.string() }), verbosity: z.string() }),
  tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]),
  tools: z.array(z.looseObject({ type: z.string() })),
  top_logprobs: count,
  top_p: z.number(),
  truncation: z.enum(["auto", "disabled"]),
  usage: z
    .object({
      input_tokens: count,
      input_tokens_details: z.object({ cached_tokens: count, cache_write_tokens: count }),
      output_tokens: count,
      output_tokens_details: z.object({ reasoning_tokens: count }),
      total_tokens: count,
    })
    .nullable(),
  user: z.string().nullable(),
});

const model = z.object({
  id,
  object: z.literal("model"),
  created: seconds,
  owned_by: z.string(),
  aliases: z.array(z.string()),
  context_length: count,
  tools: z.array(z.string()).describe("That the server runs, if requests ask for them"),
});

/** Schemas of answers by method and path; what isn't here isn't JSON, or describes itself. */
export const ANSWERS: Readonly<Record<string, z.ZodType>> = {
  "post /v1/chat/completions": chatCompletion,
  "post /v1/completions": textCompletion,
  "post /v1/responses": response,
  "get /v1/responses/{id}": response,
  "delete /v1/responses/{id}": z.object({ id, object: z.literal("response"), deleted: z.literal(true) }),
  "post /v1/responses/{id}/cancel": response,
  "get /v1/responses/{id}/input_items": z.object({
    object: z.literal("list"),
    data: z.array(item),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  }),
  "get /v1/models": z.object({ object: z.literal("list"), data: z.array(model) }),
  "get /v1/models/{id}": model,
  "get /health": z.object({ status: z.enum(["ok", "closing"]), running: count, queued: count }),
  "get /openapi.json": z.looseObject({ openapi: z.string() }),
};
