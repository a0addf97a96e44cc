import type { Model } from "../../generation/model.ts";
import type { StoredResponse } from "../store/store.ts";
import type { Item, ResponseEvent } from "./output-items.ts";
import type { CreateResponse, RequestTool } from "./request.ts";

export interface Usage {
  /** Tokens of the prompts, one prompt for each call of the server's own tools and the answer. */
  readonly input: number;
  /** Of these, the tokens that hadn't to be computed. */
  readonly cached: number;
  readonly output: number;
  readonly reasoning: number;
}

/** How a response ended. */
export interface Outcome {
  readonly status: "completed" | "incomplete" | "failed" | "cancelled";
  readonly error?: { readonly code: string; readonly message: string };
  readonly usage: Usage;
}

/** The API's Response object at its beginning; output comes apart. */
export function newResponse(
  request: CreateResponse,
  id: string,
  modelId: string,
  { defaults }: Model,
  seconds: number,
): StoredResponse {
  const { reasoning, text } = request;
  return {
    id,
    object: "response",
    created_at: seconds,
    status: request.background ? "queued" : "in_progress",
    background: request.background,
    completed_at: null,
    error: null,
    incomplete_details: null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    max_tool_calls: request.max_tool_calls ?? null,
    metadata: request.metadata,
    model: modelId,
    parallel_tool_calls: request.parallel_tool_calls,
    previous_response_id: request.previous_response_id ?? null,
    prompt_cache_key: request.prompt_cache_key ?? null,
    reasoning: { effort: reasoning.effort ?? "medium", summary: reasoning.summary ?? null },
    safety_identifier: request.safety_identifier ?? null,
    service_tier: "default",
    store: request.store,
    temperature: request.temperature ?? defaults.temperature,
    text: { format: text.format ?? { type: "text" }, verbosity: text.verbosity ?? "medium" },
    tool_choice: request.tool_choice,
    tools: request.tools.map(shownTool),
    top_logprobs: request.top_logprobs,
    top_p: request.top_p ?? defaults.topP,
    truncation: request.truncation,
    usage: null,
    user: request.user ?? null,
  };
}

/** Without what may be secret. */
function shownTool(tool: RequestTool): object {
  if (tool.type === "function") return { description: null, parameters: null, strict: null, ...tool };
  const { headers: _, authorization: __, ...shown } = tool as Readonly<Record<string, unknown>>;
  return shown;
}

export function endedResponse(response: StoredResponse, outcome: Outcome, seconds: number): StoredResponse {
  const { status, error = null, usage } = outcome;
  return {
    ...response,
    status,
    completed_at: status === "completed" ? seconds : null,
    error,
    incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
    usage: {
      input_tokens: usage.input,
      input_tokens_details: { cached_tokens: usage.cached, cache_write_tokens: 0 },
      output_tokens: usage.output,
      output_tokens_details: { reasoning_tokens: usage.reasoning },
      total_tokens: usage.input + usage.output,
    },
  };
}

/** The whole Response object, as clients get it. */
export function withOutput(
  response: StoredResponse,
  output: readonly Item[],
  include: readonly string[],
): StoredResponse {
  return { ...response, output: output.map((item) => shownItem(item, include)) };
}

/** An item without what has to be asked for. */
export function shownItem(item: Item, include: readonly string[]): Item {
  if (item.type !== "code_interpreter_call" || include.includes("code_interpreter_call.outputs")) return item;
  return { ...item, outputs: null };
}

export function shownEvent(event: ResponseEvent, include: readonly string[]): ResponseEvent {
  const item = event["item"] as Item | undefined;
  return item ? { ...event, item: shownItem(item, include) } : event;
}
