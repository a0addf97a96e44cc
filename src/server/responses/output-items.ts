import type { CitationStream, ToolCall, ToolResult } from "../../tools/index.ts";
import type { TokenLogprobs } from "../logprobs.ts";
import type { StoredItem } from "../store/store.ts";
import { customInput, objectOf, shellAction } from "./client-tools.ts";

/** An event of a response's stream, without its number. */
export interface ResponseEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

export type Item = StoredItem["item"];
export type Events = Generator<ResponseEvent, void, void>;
export type ItemStatus = "completed" | "incomplete" | "failed";

/** What an item says of itself while it is being written. */
export interface ItemPlace {
  readonly id: string;
  /** Its place among the response's output. */
  readonly index: number;
}

/** One output item and the events that tell of it: `begin`, `write` as text comes, `end`. */
export abstract class OutputItem {
  readonly id: string;
  readonly index: number;
  protected text = "";

  constructor({ id, index }: ItemPlace) {
    this.id = id;
    this.index = index;
  }

  /** The item as it is now. */
  abstract item(status: ItemStatus | "in_progress"): Item;
  /** Events after `output_item.added`. */
  protected abstract opened(): Events;
  /** Events for more text; `logprobs` are those of the tokens since the last call. */
  protected abstract added(delta: string, logprobs: readonly TokenLogprobs[]): Events;
  /** Events ahead of `output_item.done`. */
  protected abstract closed(): Events;

  *begin(): Events {
    yield { type: "response.output_item.added", output_index: this.index, item: this.item("in_progress") };
    yield* this.opened();
  }

  *write(delta: string, logprobs: readonly TokenLogprobs[] = []): Events {
    this.text += delta;
    yield* this.added(delta, logprobs);
  }

  *end(status: ItemStatus): Events {
    yield* this.closed();
    yield* this.done(status);
  }

  protected *done(status: ItemStatus): Events {
    yield { type: "response.output_item.done", output_index: this.index, item: this.item(status) };
  }

  protected event(type: string, fields: Readonly<Record<string, unknown>> = {}): ResponseEvent {
    return { type: `response.${type}`, item_id: this.id, output_index: this.index, ...fields };
  }
}

export class ReasoningItem extends OutputItem {
  item(status: ItemStatus | "in_progress"): Item {
    const content = this.text === "" ? [] : [this.#part()];
    return { id: this.id, type: "reasoning", status, summary: [], content };
  }

  #part(): object {
    return { type: "reasoning_text", text: this.text };
  }

  protected *opened(): Events {
    yield this.event("content_part.added", { content_index: 0, part: this.#part() });
  }

  protected *added(delta: string): Events {
    yield this.event("reasoning_text.delta", { content_index: 0, delta });
  }

  protected *closed(): Events {
    yield this.event("reasoning_text.done", { content_index: 0, text: this.text });
    yield this.event("content_part.done", { content_index: 0, part: this.#part() });
  }
}

/** The answer, or a remark on the way to it. With citations, links take the place of what the model wrote. */
export class MessageItem extends OutputItem {
  readonly #phase: "commentary" | "final_answer";
  readonly #citations: CitationStream | undefined;
  readonly #annotations: object[] = [];
  readonly #logprobs: TokenLogprobs[] = [];
  #hasPart = false;

  constructor(place: ItemPlace, phase: "commentary" | "final_answer", citations?: CitationStream) {
    super(place);
    this.#phase = phase;
    this.#citations = citations;
  }

  item(status: ItemStatus | "in_progress"): Item {
    const content = this.#hasPart ? [this.#part()] : [];
    return { id: this.id, type: "message", status, role: "assistant", phase: this.#phase, content };
  }

  #part(): object {
    const { text } = this;
    return { type: "output_text", text, annotations: [...this.#annotations], logprobs: [...this.#logprobs] };
  }

  override *write(delta: string, logprobs: readonly TokenLogprobs[] = []): Events {
    const cited = this.#citations?.push(delta) ?? { text: delta, citations: [] };
    yield* this.#writeCited(cited, logprobs);
  }

  *#writeCited(
    { text, citations }: ReturnType<CitationStream["push"]>,
    logprobs: readonly TokenLogprobs[],
  ): Events {
    this.#logprobs.push(...logprobs);
    if (text !== "" || logprobs.length > 0) yield* super.write(text, logprobs);
    for (const { start, end, url, title } of citations) {
      const annotation = { type: "url_citation", start_index: start, end_index: end, url, title };
      const annotation_index = this.#annotations.push(annotation) - 1;
      yield this.event("output_text.annotation.added", { content_index: 0, annotation_index, annotation });
    }
  }

  protected *opened(): Events {
    const part = this.#part();
    this.#hasPart = true;
    yield this.event("content_part.added", { content_index: 0, part });
  }

  protected *added(delta: string, logprobs: readonly TokenLogprobs[]): Events {
    yield this.event("output_text.delta", { content_index: 0, delta, logprobs });
  }

  protected *closed(): Events {
    if (this.#citations) yield* this.#writeCited(this.#citations.end(), []);
    const { text } = this;
    yield this.event("output_text.done", { content_index: 0, text, logprobs: [...this.#logprobs] });
    yield this.event("content_part.done", { content_index: 0, part: this.#part() });
  }
}

/** A call of one of the client's functions, which answers it by a `function_call_output`. */
export class FunctionCallItem extends OutputItem {
  protected readonly name: string;
  protected readonly callId: string;
  /** What the item says of the namespace that the tool is in, if it is in one. */
  protected readonly namespace: { readonly namespace?: string };

  constructor(place: ItemPlace, name: string, callId: string, namespace?: string) {
    super(place);
    this.name = name;
    this.callId = callId;
    this.namespace = namespace === undefined ? {} : { namespace };
  }

  item(status: ItemStatus | "in_progress"): Item {
    // a function without parameters may be called with nothing; clients parse the arguments all the same
    const args = status === "completed" && this.text.trim() === "" ? "{}" : this.text;
    return {
      id: this.id,
      type: "function_call",
      status,
      call_id: this.callId,
      name: this.name,
      ...this.namespace,
      arguments: args,
    };
  }

  protected *opened(): Events {}

  protected *added(delta: string): Events {
    yield this.event("function_call_arguments.delta", { delta });
  }

  protected *closed(): Events {
    const args = this.item("completed")["arguments"];
    yield this.event("function_call_arguments.done", { name: this.name, arguments: args });
  }
}

/** A call of one of the client's custom tools, whose input is text: the model writes it as a function's only argument. */
export class CustomCallItem extends FunctionCallItem {
  override item(status: ItemStatus | "in_progress"): Item {
    const input = status === "in_progress" ? "" : customInput(this.text);
    return {
      id: this.id,
      type: "custom_tool_call",
      status,
      call_id: this.callId,
      name: this.name,
      ...this.namespace,
      input,
    };
  }

  protected override *added(): Events {} // the input is known once the JSON that it is in is whole

  protected override *closed(): Events {
    const input = customInput(this.text);
    yield this.event("custom_tool_call_input.delta", { delta: input });
    yield this.event("custom_tool_call_input.done", { input });
  }
}

/** A command for the client's shell. */
export class ShellCallItem extends FunctionCallItem {
  override item(status: ItemStatus | "in_progress"): Item {
    const action = shellAction(this.text);
    return { id: this.id, type: "local_shell_call", status, call_id: this.callId, action };
  }

  protected override *added(): Events {}
  protected override *closed(): Events {}
}

/** A call that the server itself answers: after `begin` and `write` come `call`, the tool's work, and `answer`. */
export abstract class HostedCallItem extends OutputItem {
  /** The call is whole, and about to run. */
  abstract call(call: ToolCall): Events;
  abstract answer(result: ToolResult): Events;
}

/** A step of the browser: a search, a page, a text to find. */
export class WebSearchItem extends HostedCallItem {
  readonly #urls: readonly string[];
  #action: object;
  #shown: string | undefined;

  /** @param urls of the pages shown, by cursor; grows as the browser works */
  constructor(place: ItemPlace, called: string, urls: readonly string[]) {
    super(place);
    this.#urls = urls;
    const empty: Readonly<Record<string, object>> = {
      open: { type: "open_page", url: null },
      find: { type: "find_in_page", pattern: "", url: "" },
    };
    this.#action = empty[called] ?? { type: "search", query: "" };
  }

  item(status: ItemStatus | "in_progress"): Item {
    return { id: this.id, type: "web_search_call", status, action: this.#action };
  }

  protected *opened(): Events {
    yield this.event("web_search_call.in_progress");
  }

  protected *added(): Events {}
  protected *closed(): Events {}

  *call({ function: called, content }: ToolCall): Events {
    const args = objectOf(content);
    const page =
      typeof args["cursor"] === "number" && args["cursor"] >= 0 ? args["cursor"] : this.#urls.length - 1;
    const text = (name: string): string => (typeof args[name] === "string" ? args[name] : "");
    if (called === "open") {
      this.#shown = typeof args["id"] === "string" ? args["id"] : undefined;
      this.#action = { type: "open_page", url: this.#shown ?? null };
    } else if (called === "find") {
      this.#action = { type: "find_in_page", pattern: text("pattern"), url: this.#urls[page] ?? "" };
    } else this.#action = { type: "search", query: text("query"), queries: [text("query")] };
    yield this.event("web_search_call.searching");
  }

  *answer({ isError }: ToolResult): Events {
    const isPage = (this.#action as { type: string }).type === "open_page";
    if (isPage && !isError)
      this.#action = { type: "open_page", url: this.#urls.at(-1) || this.#shown || null };
    if (!isError) yield this.event("web_search_call.completed");
    yield* this.done(isError ? "failed" : "completed");
  }
}

/** Characters of images that an item may hold, as data URLs. */
const MAX_IMAGES = 2 ** 20;

/** Python. Whether its output is shown is the request's to say; it is always kept. */
export class CodeItem extends HostedCallItem {
  readonly #container: string;
  #outputs: object[] | null = null;

  constructor(place: ItemPlace, container: string) {
    super(place);
    this.#container = container;
  }

  item(status: ItemStatus | "in_progress"): Item {
    return {
      id: this.id,
      type: "code_interpreter_call",
      status,
      code: this.text,
      container_id: this.#container,
      outputs: this.#outputs,
    };
  }

  protected *opened(): Events {
    yield this.event("code_interpreter_call.in_progress");
  }

  protected *added(delta: string): Events {
    yield this.event("code_interpreter_call_code.delta", { delta });
  }

  protected *closed(): Events {
    yield this.event("code_interpreter_call_code.done", { code: this.text });
  }

  *call(): Events {
    yield* this.closed();
    yield this.event("code_interpreter_call.interpreting");
  }

  *answer({ text, images = [] }: ToolResult): Events {
    this.#outputs = [{ type: "logs", logs: text }];
    let room = MAX_IMAGES;
    for (const { mediaType, data } of images) {
      const url = `data:${mediaType};base64,${base64(data)}`;
      room -= url.length;
      if (room > 0) this.#outputs.push({ type: "image", url });
    }
    yield this.event("code_interpreter_call.completed");
    yield* this.done("completed");
  }
}

/** A tool of one of the operator's MCP servers. */
export class McpCallItem extends HostedCallItem {
  readonly #name: string;
  readonly #label: string;
  #output: string | null = null;
  #error: string | null = null;

  constructor(place: ItemPlace, name: string, label: string) {
    super(place);
    this.#name = name;
    this.#label = label;
  }

  item(status: ItemStatus | "in_progress"): Item {
    return {
      id: this.id,
      type: "mcp_call",
      status,
      server_label: this.#label,
      name: this.#name,
      arguments: this.text,
      output: this.#output,
      error: this.#error,
      approval_request_id: null,
    };
  }

  protected *opened(): Events {
    yield this.event("mcp_call.in_progress");
  }

  protected *added(delta: string): Events {
    yield this.event("mcp_call_arguments.delta", { delta });
  }

  protected *closed(): Events {
    yield this.event("mcp_call_arguments.done", { arguments: this.text });
  }

  *call(): Events {
    yield* this.closed();
  }

  *answer({ text, isError }: ToolResult): Events {
    if (isError) this.#error = text;
    else this.#output = text;
    yield this.event(isError ? "mcp_call.failed" : "mcp_call.completed");
    yield* this.done(isError ? "failed" : "completed");
  }
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000)
    text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}
