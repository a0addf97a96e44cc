import { recipientOf, resolve } from "../../agent/calls.ts";
import type { ChatToken } from "../../generation/chat.ts";
import { type Header, type Message, messageText } from "../../harmony/index.ts";
import type { Tokenizer } from "../../tokenizer/index.ts";
import type { ToolCall, ToolResult } from "../../tools/index.ts";
import { type TokenLogprobs, tokenLogprobs } from "../logprobs.ts";
import type { StoredItem } from "../store/store.ts";
import { itemId } from "./input.ts";
import {
  CodeItem,
  CustomCallItem,
  type Events,
  FunctionCallItem,
  HostedCallItem,
  type ItemPlace,
  type ItemStatus,
  McpCallItem,
  MessageItem,
  type OutputItem,
  ReasoningItem,
  ShellCallItem,
  WebSearchItem,
} from "./output-items.ts";
import type { OpenTools } from "./tools.ts";

export interface OutputOptions {
  readonly tools: OpenTools;
  readonly tokenizer: Tokenizer;
  /** Whether messages get the log-probabilities of their tokens. */
  readonly withLogprobs: boolean;
  newId(prefix: string): string;
}

/** Turns what the model writes, token by token, and what tools answer into output items and the events that tell of them. */
export class Output {
  readonly #options: OutputOptions;
  readonly #done: StoredItem[] = [];
  /** The item that is being written, or whose call runs. */
  #open: OutputItem | undefined;
  /** Header of the message that is being written. */
  #header: Header | undefined;
  #logprobs: TokenLogprobs[] = [];
  /** Calls of tools that don't exist, and what the model was told: they belong to the next item. */
  #hidden: Message[] = [];
  #container: string | undefined;
  reasoningTokens = 0;

  constructor(options: OutputOptions) {
    this.#options = options;
  }

  /** Items that are complete, with all that the model has to be shown of them. */
  get items(): readonly StoredItem[] {
    return this.#done;
  }

  /** Takes the next token. What the model's limit has cut is closed as incomplete, and isn't shown to it again. */
  *token(token: ChatToken): Events {
    const { header, delta, message } = token;
    if (header && !this.#header) {
      this.#header = header;
      if (recipientOf({ ...header, content: "" }) !== undefined || channelOf(header) === "final")
        yield* this.#begin(header);
    }
    if (header?.channel === "analysis") this.reasoningTokens++;
    const { withLogprobs, tokenizer } = this.#options;
    if (withLogprobs && this.#open instanceof MessageItem && !tokenizer.isSpecial(token.id))
      this.#logprobs.push(tokenLogprobs(tokenizer, token));
    if (delta !== "" && header) {
      if (!this.#open && recipientOf({ ...header, content: "" }) === undefined) yield* this.#begin(header);
      if (this.#open) yield* this.#open.write(delta, this.#logprobs.splice(0));
    }
    if (message) yield* this.#endMessage(message, token.finishReason === "length");
  }

  /** A call is whole, and the server about to answer it. */
  *call(call: ToolCall): Events {
    if (this.#open instanceof HostedCallItem) yield* this.#open.call(call);
  }

  /** A tool has answered the latest call. */
  *answer(call: Message, reply: Message, result: ToolResult): Events {
    if (!(this.#open instanceof HostedCallItem)) {
      this.#hidden.push(call, reply);
      return;
    }
    yield* this.#open.answer(result);
    this.#keep(this.#open, result.isError ? "failed" : "completed", [call, reply]);
  }

  /** Nothing more comes: what is open is closed as incomplete. */
  *stop(): Events {
    if (this.#open) {
      yield* this.#open.end("incomplete");
      this.#keep(this.#open, "incomplete", []);
    }
  }

  *#begin(header: Header): Events {
    this.#open = this.#itemFor(header);
    if (this.#open) yield* this.#open.begin();
  }

  #itemFor(header: Header): OutputItem | undefined {
    const { tools, newId } = this.#options;
    const place = (type: string): ItemPlace => ({ id: itemId(type, newId), index: this.#done.length });
    const message = { ...header, content: "" };
    if (recipientOf(message) === undefined) {
      const channel = channelOf(header);
      if (channel === "analysis") return new ReasoningItem(place("reasoning"));
      const phase = channel === "commentary" ? "commentary" : "final_answer";
      const citations = phase === "final_answer" ? this.#browser()?.citationStream() : undefined;
      return new MessageItem(place("message"), phase, citations);
    }
    const { tool, call } = resolve(tools.all, message);
    const kind = tool && tools.kinds.get(tool);
    if (kind?.type === "function")
      return new FunctionCallItem(place("function_call"), call.function, newId("call_"), kind.namespace);
    if (kind?.type === "custom")
      return new CustomCallItem(place("custom_tool_call"), call.function, newId("call_"), kind.namespace);
    if (kind?.type === "local_shell")
      return new ShellCallItem(place("local_shell_call"), call.function, newId("call_"));
    if (kind?.type === "mcp") return new McpCallItem(place("mcp_call"), call.function, kind.label);
    if (kind?.type === "web_search")
      return new WebSearchItem(place("web_search_call"), call.function, kind.browser.urls);
    if (kind?.type === "code_interpreter") {
      this.#container ??= newId("cntr_");
      return new CodeItem(place("code_interpreter_call"), this.#container);
    }
    return undefined;
  }

  *#endMessage(message: Message, isCut: boolean): Events {
    const item = this.#open;
    this.#header = undefined;
    if (!item) return;
    if (isCut) {
      yield* item.end("incomplete");
      this.#keep(item, "incomplete", item instanceof MessageItem ? [message] : []);
    } else if (!(item instanceof HostedCallItem)) {
      yield* item.end("completed");
      const isEmpty = messageText(message) === "" && !(item instanceof FunctionCallItem);
      this.#keep(item, "completed", isEmpty ? [] : [message]);
    }
  }

  #keep(item: OutputItem, status: ItemStatus, messages: readonly Message[]): void {
    this.#done.push({ item: item.item(status), messages: [...this.#hidden.splice(0), ...messages] });
    this.#open = undefined;
    this.#header = undefined;
  }

  #browser() {
    for (const kind of this.#options.tools.kinds.values())
      if (kind.type === "web_search") return kind.browser;
    return undefined;
  }
}

function channelOf({ channel }: Header): "analysis" | "commentary" | "final" {
  return channel === "analysis" || channel === "commentary" ? channel : "final";
}
