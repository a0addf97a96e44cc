import { z } from "zod";
import { samplingShape } from "../sampling.ts";
import type {
  CreateResponse,
  InputItem,
  ListQuery,
  NamedTool,
  RequestTool,
  RetrieveQuery,
  TextFormat,
  ToolChoice,
} from "./request.ts";

/*
 * What /v1/responses takes. Fields of OpenAI's API that aren't here are ignored.
 */

const TEXT_ONLY = "gpt-oss reads text only: a part is input_text, output_text or refusal";

const contentPart = z.discriminatedUnion(
  "type",
  [
    z.looseObject({ type: z.literal("input_text"), text: z.string() }),
    z.looseObject({ type: z.literal("output_text"), text: z.string() }),
    z.looseObject({ type: z.literal("refusal"), refusal: z.string() }),
  ],
  { error: TEXT_ONLY },
);

const id = z.string().min(1).max(256);
const anyText = z.string().nullish();

const message = z.looseObject({
  type: z.literal("message").optional(),
  id: id.nullish(),
  role: z.enum(["user", "assistant", "system", "developer"]),
  content: z.union([z.string(), z.array(contentPart)]),
  phase: z.enum(["commentary", "final_answer"]).nullish(),
});

const reasoning = z.looseObject({
  type: z.literal("reasoning"),
  id: id.nullish(),
  summary: z.array(z.looseObject({ type: z.literal("summary_text"), text: z.string() })).nullish(),
  content: z.array(z.looseObject({ type: z.enum(["reasoning_text", "text"]), text: z.string() })).nullish(),
});

const functionCall = z.looseObject({
  type: z.literal("function_call"),
  id: id.nullish(),
  call_id: id,
  name: z.string().min(1).max(256),
  namespace: z.string().min(1).max(256).nullish(),
  arguments: z.string(),
});

const functionCallOutput = z.looseObject({
  type: z.enum(["function_call_output", "custom_tool_call_output"]),
  id: id.nullish(),
  call_id: id,
  output: z.union([
    z.string(),
    z.array(
      z.discriminatedUnion("type", [z.looseObject({ type: z.literal("input_text"), text: z.string() })], {
        error: TEXT_ONLY,
      }),
    ),
  ]),
});

const customCall = z.looseObject({
  type: z.literal("custom_tool_call"),
  id: id.nullish(),
  call_id: id,
  name: z.string().min(1).max(256),
  namespace: z.string().min(1).max(256).nullish(),
  input: z.string(),
});

const shellCall = z.looseObject({
  type: z.literal("local_shell_call"),
  id: id.nullish(),
  call_id: id,
  action: z.looseObject({
    command: z.array(z.string()),
    working_directory: anyText,
    timeout_ms: z.number().nullish(),
  }),
});

const webSearchCall = z.looseObject({ type: z.literal("web_search_call"), id: id.nullish() });

const codeInterpreterCall = z.looseObject({
  type: z.literal("code_interpreter_call"),
  id: id.nullish(),
  code: anyText,
  outputs: z.array(z.looseObject({ type: z.string(), logs: anyText })).nullish(),
});

const mcpCall = z.looseObject({
  type: z.literal("mcp_call"),
  id: id.nullish(),
  name: z.string().min(1).max(256),
  arguments: z.string(),
  output: anyText,
  error: z.unknown().optional(),
});

const mcpListTools = z.looseObject({ type: z.literal("mcp_list_tools"), id: id.nullish() });

const itemReference = z.looseObject({ type: z.literal("item_reference"), id });

/** An item of a request's input. */
const inputItemSchema: z.ZodType<InputItem> = z.discriminatedUnion(
  "type",
  [
    message,
    reasoning,
    functionCall,
    functionCallOutput,
    customCall,
    shellCall,
    webSearchCall,
    codeInterpreterCall,
    mcpCall,
    mcpListTools,
    itemReference,
  ],
  {
    error:
      "an item is a message, reasoning, function_call, function_call_output, custom_tool_call, custom_tool_call_output, local_shell_call, web_search_call, code_interpreter_call, mcp_call, mcp_list_tools or item_reference",
  },
);

const jsonSchema = z.record(z.string(), z.unknown());
const WEB_SEARCH = [
  "web_search",
  "web_search_2025_08_26",
  "web_search_preview",
  "web_search_preview_2025_03_11",
] as const;

const functionTool = z.looseObject({
  type: z.literal("function"),
  name: z.string().regex(/^[\w-]{1,64}$/, "a function's name is letters, digits, _ and -, at most 64"),
  description: anyText,
  parameters: jsonSchema.nullish(),
  strict: z.boolean().nullish(),
});

const customTool = z.looseObject({
  type: z.literal("custom"),
  name: z.string().regex(/^[\w-]{1,64}$/, "a tool's name is letters, digits, _ and -, at most 64"),
  description: anyText,
  format: z.looseObject({ type: z.string(), syntax: anyText, definition: anyText }).nullish(),
});

/** A tool of a request. Functions, custom tools and the local shell are the client's; others run on the server, if its operator has switched them on. */
const toolSchema: z.ZodType<RequestTool> = z.discriminatedUnion(
  "type",
  [
    functionTool,
    customTool,
    z.looseObject({
      type: z.literal("namespace"),
      name: z.string().regex(/^[\w-]{1,64}$/, "a namespace's name is letters, digits, _ and -, at most 64"),
      description: anyText,
      tools: z.array(
        z.discriminatedUnion("type", [functionTool, customTool], {
          error: "a namespace's tool is of type function or custom",
        }),
      ),
    }),
    z.looseObject({ type: z.literal("local_shell") }),
    z.looseObject({ type: z.enum(WEB_SEARCH), filters: z.looseObject({}).nullish() }),
    z.looseObject({ type: z.literal("code_interpreter"), container: z.unknown().optional() }),
    z.looseObject({
      type: z.literal("mcp"),
      server_label: z.string().min(1).max(256),
      server_url: anyText,
      connector_id: anyText,
      allowed_tools: z
        .union([z.array(z.string()), z.looseObject({ tool_names: z.array(z.string()) })])
        .nullish(),
      require_approval: z.unknown().optional(),
    }),
  ],
  {
    error: "a tool is of type function, custom, namespace, local_shell, web_search, code_interpreter or mcp",
  },
);

const UNNAMED = [...WEB_SEARCH, "code_interpreter", "local_shell"] as const;
const namedTool: z.ZodType<NamedTool> = z.discriminatedUnion("type", [
  z.looseObject({ type: z.enum(["function", "custom"]), name: z.string() }),
  z.looseObject({ type: z.literal("mcp"), server_label: z.string(), name: anyText }),
  z.looseObject({ type: z.enum(UNNAMED) }),
]);

const toolChoiceSchema: z.ZodType<ToolChoice> = z.union([
  z.enum(["none", "auto", "required"]),
  z.looseObject({
    type: z.literal("allowed_tools"),
    mode: z.enum(["auto", "required"]),
    tools: z.array(namedTool),
  }),
  namedTool,
]);

const textFormatSchema: z.ZodType<TextFormat> = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text") }),
  z.looseObject({ type: z.literal("json_object") }),
  z.looseObject({
    type: z.literal("json_schema"),
    name: z.string().regex(/^[\w-]{1,64}$/, "a format's name is letters, digits, _ and -, at most 64"),
    description: anyText,
    schema: jsonSchema,
    strict: z.boolean().nullish(),
  }),
]);

/** Accepted by OpenAI; what has no meaning here adds nothing. */
const includable = z.enum([
  "code_interpreter_call.outputs",
  "computer_call_output.output.image_url",
  "file_search_call.results",
  "message.input_image.image_url",
  "message.output_text.logprobs",
  "reasoning.encrypted_content",
  "web_search_call.action.sources",
  "web_search_call.results",
]);

const REFUSED = "isn't supported here";

/** POST /v1/responses */
export const createResponseSchema: z.ZodType<CreateResponse> = z.object({
  model: z.string().optional(),
  input: z.union([z.string(), z.array(inputItemSchema)]).optional(),
  instructions: z.string().optional(),
  previous_response_id: id.optional(),
  conversation: z.never(`${REFUSED}: give previous_response_id`).optional(),
  prompt: z.never(`${REFUSED}: give instructions and input`).optional(),
  tools: z.array(toolSchema).default([]),
  tool_choice: toolChoiceSchema.default("auto"),
  max_tool_calls: z.int().min(1).optional(),
  parallel_tool_calls: z.boolean().default(true),
  text: z
    .looseObject({
      format: textFormatSchema.nullish(),
      verbosity: z.enum(["low", "medium", "high"]).nullish(),
    })
    .default({}),
  reasoning: z
    .looseObject({
      effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh"]).nullish(),
      summary: z.enum(["auto", "concise", "detailed", "none"]).nullish(),
    })
    .default({}),
  max_output_tokens: z.int().min(1).optional(),
  ...samplingShape,
  top_logprobs: z.int().min(0).max(20).default(0),
  include: z.array(includable).default([]),
  truncation: z.enum(["auto", "disabled"]).default("disabled"),
  store: z.boolean().default(true),
  metadata: z
    .record(z.string().max(64), z.string().max(512))
    .refine((pairs) => Object.keys(pairs).length <= 16, "at most 16 pairs")
    .default({}),
  user: z.string().optional(),
  safety_identifier: z.string().optional(),
  prompt_cache_key: z.string().optional(),
  service_tier: z.string().optional(),
  stream: z.boolean().default(false),
  stream_options: z.looseObject({ include_obfuscation: z.boolean().nullish() }).optional(),
  background: z.boolean().default(false),
});

const includeQuery = z.union([z.array(includable), includable.transform((one) => [one])]).default([]);

/** GET /v1/responses/{id} */
export const retrieveQuerySchema: z.ZodType<RetrieveQuery> = z.object({
  include: includeQuery,
  stream: z.enum(["true", "false"]).default("false"),
  starting_after: z.coerce.number().int().min(0).optional(),
});

/** GET /v1/responses/{id}/input_items */
export const listQuerySchema: z.ZodType<ListQuery> = z.object({
  order: z.enum(["asc", "desc"]).default("desc"),
  limit: z.coerce.number().int().min(1).max(100).default(20),
  after: z.string().optional(),
  before: z.string().optional(),
  include: includeQuery,
});
