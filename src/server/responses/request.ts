/*
 * A request to /v1/responses, once it is checked (schemas.ts). Names and meanings are those of OpenAI's API reference,
 * https://platform.openai.com/docs/api-reference/responses.
 */

import type { SamplingFields } from "../sampling.ts";

type Text = string | null | undefined;
type Id = string | null | undefined;

export type ContentPart =
  | { readonly type: "input_text" | "output_text"; readonly text: string }
  | { readonly type: "refusal"; readonly refusal: string };

export interface MessageInput {
  readonly type?: "message" | undefined;
  readonly id?: Id;
  readonly role: "user" | "assistant" | "system" | "developer";
  readonly content: string | readonly ContentPart[];
  readonly phase?: "commentary" | "final_answer" | null | undefined;
}

export interface ReasoningInput {
  readonly type: "reasoning";
  readonly id?: Id;
  readonly content?: readonly { readonly text: string }[] | null | undefined;
}

export interface FunctionCallInput {
  readonly type: "function_call";
  readonly id?: Id;
  readonly call_id: string;
  readonly name: string;
  readonly namespace?: Text;
  readonly arguments: string;
}

export interface FunctionCallOutputInput {
  readonly type: "function_call_output" | "custom_tool_call_output";
  readonly id?: Id;
  readonly call_id: string;
  readonly output: string | readonly { readonly text: string }[];
}

export interface CustomCallInput {
  readonly type: "custom_tool_call";
  readonly id?: Id;
  readonly call_id: string;
  readonly name: string;
  readonly namespace?: Text;
  readonly input: string;
}

export interface ShellCallInput {
  readonly type: "local_shell_call";
  readonly id?: Id;
  readonly call_id: string;
  readonly action: {
    readonly command: readonly string[];
    readonly working_directory?: Text;
    readonly timeout_ms?: number | null | undefined;
  };
}

export interface CodeInterpreterCallInput {
  readonly type: "code_interpreter_call";
  readonly id?: Id;
  readonly code?: Text;
  readonly outputs?: readonly { readonly logs?: Text }[] | null | undefined;
}

export interface McpCallInput {
  readonly type: "mcp_call";
  readonly id?: Id;
  readonly name: string;
  readonly arguments: string;
  readonly output?: Text;
  readonly error?: unknown;
}

export type InputItem =
  | MessageInput
  | ReasoningInput
  | FunctionCallInput
  | FunctionCallOutputInput
  | CustomCallInput
  | ShellCallInput
  | CodeInterpreterCallInput
  | McpCallInput
  | { readonly type: "web_search_call" | "mcp_list_tools"; readonly id?: Id }
  | { readonly type: "item_reference"; readonly id: string };

export type WebSearchType =
  | "web_search"
  | "web_search_2025_08_26"
  | "web_search_preview"
  | "web_search_preview_2025_03_11";

export interface FunctionTool {
  readonly type: "function";
  readonly name: string;
  readonly description?: Text;
  readonly parameters?: Readonly<Record<string, unknown>> | null | undefined;
  readonly strict?: boolean | null | undefined;
}

export interface CustomTool {
  readonly type: "custom";
  readonly name: string;
  readonly description?: Text;
  readonly format?: { readonly syntax?: Text; readonly definition?: Text } | null | undefined;
}

/** A tool that the client runs. */
export type ClientTool = FunctionTool | CustomTool | { readonly type: "local_shell" };

/** Tools of the client's that belong together. */
export interface NamespaceTool {
  readonly type: "namespace";
  readonly name: string;
  readonly description?: Text;
  readonly tools: readonly (FunctionTool | CustomTool)[];
}

export interface McpTool {
  readonly type: "mcp";
  readonly server_label: string;
  readonly server_url?: Text;
  readonly connector_id?: Text;
  readonly allowed_tools?: readonly string[] | { readonly tool_names: readonly string[] } | null | undefined;
  readonly require_approval?: unknown;
}

export type RequestTool =
  | ClientTool
  | NamespaceTool
  | McpTool
  | { readonly type: WebSearchType; readonly filters?: object | null | undefined }
  | { readonly type: "code_interpreter" };

export type NamedTool =
  | { readonly type: "function" | "custom"; readonly name: string }
  | { readonly type: "mcp"; readonly server_label: string; readonly name?: Text }
  | { readonly type: WebSearchType | "code_interpreter" | "local_shell" };

export type ToolChoice =
  | "none"
  | "auto"
  | "required"
  | NamedTool
  | {
      readonly type: "allowed_tools";
      readonly mode: "auto" | "required";
      readonly tools: readonly NamedTool[];
    };

export type TextFormat =
  | { readonly type: "text" | "json_object" }
  | {
      readonly type: "json_schema";
      readonly name: string;
      readonly description?: Text;
      readonly schema: Readonly<Record<string, unknown>>;
      readonly strict?: boolean | null | undefined;
    };

/** Of how to sample, OpenAI has temperature and top_p; the others are extensions, as chat completions have them. */
export interface CreateResponse extends SamplingFields {
  readonly model?: string | undefined;
  readonly input?: string | readonly InputItem[] | undefined;
  readonly instructions?: string | undefined;
  readonly previous_response_id?: string | undefined;
  readonly tools: readonly RequestTool[];
  readonly tool_choice: ToolChoice;
  readonly max_tool_calls?: number | undefined;
  readonly parallel_tool_calls: boolean;
  readonly text: { readonly format?: TextFormat | null | undefined; readonly verbosity?: Text };
  readonly reasoning: { readonly effort?: Text; readonly summary?: Text };
  readonly max_output_tokens?: number | undefined;
  readonly top_logprobs: number;
  readonly include: readonly string[];
  readonly truncation: "auto" | "disabled";
  readonly store: boolean;
  readonly metadata: Readonly<Record<string, string>>;
  readonly user?: string | undefined;
  readonly safety_identifier?: string | undefined;
  readonly prompt_cache_key?: string | undefined;
  readonly stream: boolean;
  readonly background: boolean;
}

export interface RetrieveQuery {
  readonly include: readonly string[];
  readonly stream: "true" | "false";
  /** The number of the last event that the client has seen. */
  readonly starting_after?: number | undefined;
}

export interface ListQuery {
  readonly order: "asc" | "desc";
  readonly limit: number;
  readonly after?: string | undefined;
  readonly before?: string | undefined;
  readonly include: readonly string[];
}
