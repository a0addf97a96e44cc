import { z } from "zod";
import type { JsonSchema } from "../harmony/index.ts";
import { EFFORTS } from "./conversation.ts";
import { type SamplingFields, samplingShape } from "./sampling.ts";

type Text = string | readonly { readonly type: "text"; readonly text: string }[];

export interface ChatToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; readonly arguments: string };
}

export type ChatMessage =
  | { readonly role: "system" | "developer"; readonly content: Text }
  | { readonly role: "user"; readonly content: Text; readonly name?: string | null | undefined }
  | {
      readonly role: "assistant";
      readonly content?: Text | null | undefined;
      readonly tool_calls?: readonly ChatToolCall[] | null | undefined;
      /** What the model thought ahead of this, under any of the names that clients send it back by. */
      readonly reasoning?: string | null | undefined;
      readonly reasoning_content?: string | null | undefined;
      readonly thinking?: string | null | undefined;
    }
  | { readonly role: "tool"; readonly content: Text; readonly tool_call_id: string };

export interface ChatTool {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string | null | undefined;
    readonly parameters?: Readonly<Record<string, unknown>> | null | undefined;
    readonly strict?: boolean | null | undefined;
  };
}

interface NamedFunction {
  readonly type: "function";
  readonly function: { readonly name: string };
}

export type ChatToolChoice =
  | "none"
  | "auto"
  | "required"
  | NamedFunction
  | {
      readonly type: "allowed_tools";
      readonly allowed_tools: {
        readonly mode: "auto" | "required";
        readonly tools: readonly NamedFunction[];
      };
    };

export type ChatResponseFormat =
  | { readonly type: "text" }
  | { readonly type: "json_object" }
  | {
      readonly type: "json_schema";
      readonly json_schema: {
        readonly name: string;
        readonly description?: string | null | undefined;
        readonly schema?: JsonSchema | undefined;
        readonly strict?: boolean | null | undefined;
      };
    };

/** Body of POST /v1/chat/completions: what the server heeds of it. */
export interface ChatBody extends SamplingFields {
  readonly model: string;
  readonly messages: readonly ChatMessage[];
  readonly reasoning_effort?: (typeof EFFORTS)[number] | undefined;
  readonly tools?: readonly ChatTool[] | undefined;
  readonly tool_choice?: ChatToolChoice | undefined;
  readonly parallel_tool_calls?: boolean | undefined;
  readonly response_format?: ChatResponseFormat | undefined;
  readonly max_completion_tokens?: number | undefined;
  readonly max_tokens?: number | undefined;
  readonly stop?: string | readonly string[] | undefined;
  readonly n?: number | undefined;
  readonly logprobs?: boolean | undefined;
  readonly top_logprobs?: number | undefined;
  readonly stream?: boolean | undefined;
  readonly stream_options?: { readonly include_usage?: boolean | null | undefined } | undefined;
}

const text: z.ZodType<Text> = z.union(
  [z.string(), z.array(z.object({ type: z.literal("text", "gpt-oss reads text only"), text: z.string() }))],
  "expected a text, or an array of text parts",
);
const thought = z.string().nullish();
const toolCall = z.object({
  id: z.string().min(1).max(256),
  type: z.literal("function").default("function"),
  function: z.object({ name: z.string().min(1).max(64), arguments: z.string() }),
});
const message: z.ZodType<ChatMessage> = z.discriminatedUnion(
  "role",
  [
    z.object({ role: z.literal(["system", "developer"]), content: text }),
    z.object({
      role: z.literal("user"),
      content: text,
      name: z
        .string()
        .regex(/^[\w-]{1,64}$/, "a name is letters, digits, _ and -, at most 64")
        .nullish(),
    }),
    z.object({
      role: z.literal("assistant"),
      content: text.nullish(),
      tool_calls: z.array(toolCall).nullish(),
      reasoning: thought,
      reasoning_content: thought,
      thinking: thought,
    }),
    z.object({ role: z.literal("tool"), content: text, tool_call_id: z.string() }),
  ],
  "expected system, developer, user, assistant or tool",
);
const functionName = z
  .string()
  .regex(/^[\w-]{1,64}$/, "a function's name is letters, digits, _ and -, at most 64");
const tool: z.ZodType<ChatTool> = z.object({
  type: z.literal(
    "function",
    "chat completions take functions only; tools that the server runs are at /v1/responses",
  ),
  function: z.object({
    name: functionName,
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.boolean().nullish(),
  }),
});
const named = z.object({ type: z.literal("function"), function: z.object({ name: z.string() }) });
const toolChoice: z.ZodType<ChatToolChoice> = z.union(
  [
    z.enum(["none", "auto", "required"]),
    named,
    z.object({
      type: z.literal("allowed_tools"),
      allowed_tools: z.object({ mode: z.enum(["auto", "required"]), tools: z.array(named).min(1) }),
    }),
  ],
  "expected none, auto, required, a function or allowed_tools",
);
const responseFormat: z.ZodType<ChatResponseFormat> = z.discriminatedUnion(
  "type",
  [
    z.object({ type: z.literal("text") }),
    z.object({ type: z.literal("json_object") }),
    z.object({
      type: z.literal("json_schema"),
      json_schema: z.object({
        name: z.string().regex(/^[\w-]{1,64}$/, "a name is letters, digits, _ and -, at most 64"),
        description: z.string().nullish(),
        schema: z.union([z.record(z.string(), z.unknown()), z.boolean()]).optional(),
        strict: z.boolean().nullish(),
      }),
    }),
  ],
  "expected text, json_object or json_schema",
);
const unsupported = (hint: string): z.ZodOptional<z.ZodNever> => z.never(hint).optional();

export const chatBody: z.ZodType<ChatBody> = z.object({
  model: z.string(),
  messages: z.array(message).min(1),
  reasoning_effort: z.enum(EFFORTS).optional(),
  tools: z.array(tool).optional(),
  tool_choice: toolChoice.optional(),
  parallel_tool_calls: z.boolean().optional(),
  response_format: responseFormat.optional(),
  max_completion_tokens: z.int().min(1).optional(),
  max_tokens: z.int().min(1).optional(),
  ...samplingShape,
  stop: z.union([z.string(), z.array(z.string()).max(4)], "expected a text, or up to 4").optional(),
  n: z.int().min(1).optional(),
  logprobs: z.boolean().optional(),
  top_logprobs: z.int().min(0).max(20).optional(),
  stream: z.boolean().optional(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).optional(),
  functions: unsupported("deprecated by OpenAI; use tools"),
  function_call: unsupported("deprecated by OpenAI; use tool_choice"),
  audio: unsupported("gpt-oss writes text only"),
  modalities: z.array(z.literal("text", "gpt-oss writes text only")).optional(),
  web_search_options: unsupported("the server searches at /v1/responses only, by its tool web_search"),
});
