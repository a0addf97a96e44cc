import type { Message } from "../../harmony/index.ts";
import { developerMessage } from "../../harmony/index.ts";
import { recipientOf } from "../conversation.ts";
import { ApiError, invalid } from "../errors.ts";
import type { StoredItem } from "../store/store.ts";
import { LOCAL_SHELL } from "./client-tools.ts";
import type {
  CodeInterpreterCallInput,
  FunctionCallInput,
  FunctionCallOutputInput,
  InputItem,
  McpCallInput,
  MessageInput,
  ShellCallInput,
} from "./request.ts";

/*
 * Input items ↔ Harmony messages. A call and the reasoning that led to it belong together: gpt-oss needs its own analysis to
 * make sense of a function's output. Which of it is still shown is decided when the conversation is rendered.
 */

/** Prefixes of ids, as OpenAI has them. */
const PREFIXES: Readonly<Record<string, string>> = {
  message: "msg",
  reasoning: "rs",
  function_call: "fc",
  function_call_output: "fco",
  custom_tool_call: "ctc",
  custom_tool_call_output: "ctco",
  local_shell_call: "lsh",
  web_search_call: "ws",
  code_interpreter_call: "ci",
  mcp_call: "mcp",
  mcp_list_tools: "mcpl",
};

export function itemId(type: string, newId: (prefix: string) => string): string {
  return newId(`${PREFIXES[type] ?? "item"}_`);
}

/** An item of an earlier response, by its id. */
type FindItem = (id: string) => Promise<StoredItem | undefined>;

/**
 * The items of a request with what they say to the model.
 *
 * @param earlier items of the responses that this one goes on from
 * @throws ApiError 400 if an output answers no call, a call is left without output, or a reference leads nowhere
 */
export async function readInput(
  input: string | readonly InputItem[],
  earlier: readonly StoredItem[],
  find: FindItem,
  newId: (prefix: string) => string,
): Promise<StoredItem[]> {
  const items = typeof input === "string" ? [{ role: "user", content: input } as MessageInput] : input;
  const calls = new Calls(earlier);
  const read: StoredItem[] = [];
  for (const [index, item] of items.entries()) {
    const stored = await readItem(item, `input[${index}]`, calls, find, newId);
    calls.add(stored);
    read.push(stored);
  }
  calls.requireOutputs();
  return read;
}

async function readItem(
  item: InputItem,
  param: string,
  calls: Calls,
  find: FindItem,
  newId: (prefix: string) => string,
): Promise<StoredItem> {
  const { type = "message" } = item;
  if (item.type === "item_reference") {
    const found = await find(item.id);
    if (!found) throw notFound(`Item with id '${item.id}' not found.`, `${param}.id`);
    return found;
  }
  const id = item.id ?? itemId(type, newId);
  const known = item.id == null ? undefined : await find(item.id);
  const kept = known?.item.type === type ? known.messages : undefined;
  const shown = { ...item, id, type };
  switch (item.type) {
    case "reasoning": {
      const text = (item.content ?? []).map((part) => part.text).join("");
      const own: Message[] = text === "" ? [] : [{ role: "assistant", channel: "analysis", content: text }];
      return { item: shown, messages: own.length > 0 ? own : (kept ?? []) };
    }
    case "function_call":
      return { item: shown, messages: [callMessage(recipientOf(item.name, item.namespace), item.arguments)] };
    case "custom_tool_call":
      return {
        item: shown,
        messages: [
          callMessage(recipientOf(item.name, item.namespace), JSON.stringify({ input: item.input })),
        ],
      };
    case "local_shell_call":
      return { item: shown, messages: kept ?? [callMessage(recipientOf(LOCAL_SHELL), shellArguments(item))] };
    case "function_call_output":
    case "custom_tool_call_output":
      return {
        item: shown,
        messages: [outputMessage(item, calls.recipientOf(item.call_id, `${param}.call_id`))],
      };
    case "web_search_call": // the item itself doesn't say what was found
    case "mcp_list_tools":
      return { item: shown, messages: kept ?? [] };
    case "code_interpreter_call":
      return { item: shown, messages: kept ?? codeMessages(item) };
    case "mcp_call":
      return { item: shown, messages: kept ?? mcpMessages(item) };
    default:
      return readMessage(item, id);
  }
}

function readMessage({ role, content, phase, ...rest }: MessageInput, id: string): StoredItem {
  const isOurs = role === "assistant";
  const text =
    typeof content === "string"
      ? content
      : content.map((part) => (part.type === "refusal" ? part.refusal : part.text)).join("");
  const parts =
    typeof content === "string"
      ? [isOurs ? { type: "output_text", text, annotations: [], logprobs: [] } : { type: "input_text", text }]
      : content;
  const item = {
    ...rest,
    id,
    type: "message",
    status: "completed",
    role,
    content: parts,
    ...(phase && { phase }),
  };
  if (role === "user") return { item, messages: [{ role, content: text }] };
  if (!isOurs) return { item, messages: [developerMessage(text)] };
  return {
    item,
    messages: [{ role, channel: phase === "commentary" ? "commentary" : "final", content: text }],
  };
}

function callMessage(recipient: string, args: string): Message {
  return {
    role: "assistant",
    recipient,
    channel: "commentary",
    contentType: "<|constrain|>json",
    content: args,
  };
}

function shellArguments({ action: { command, working_directory, timeout_ms } }: ShellCallInput): string {
  return JSON.stringify({
    command,
    ...(working_directory != null && { working_directory }),
    ...(timeout_ms != null && { timeout_ms }),
  });
}

function replyMessage(name: string, content: string, channel = "commentary"): Message {
  return { role: "tool", name, recipient: "assistant", channel, content };
}

function outputMessage({ output }: FunctionCallOutputInput, recipient: string): Message {
  const text = typeof output === "string" ? output : output.map((part) => part.text).join("");
  return replyMessage(recipient, text);
}

function codeMessages({ code, outputs }: CodeInterpreterCallInput): Message[] {
  if (code == null || outputs == null) return [];
  return [
    { role: "assistant", recipient: "python", channel: "analysis", contentType: "code", content: code },
    replyMessage("python", outputs.map(({ logs }) => logs ?? "").join("\n"), "analysis"),
  ];
}

function mcpMessages({ name, arguments: args, output, error }: McpCallInput): Message[] {
  const text = output ?? (typeof error === "string" ? error : JSON.stringify(error ?? "no output"));
  return [callMessage(recipientOf(name), args), replyMessage(recipientOf(name), text)];
}

/** Calls that the client answers; those of its shell by a `function_call_output`, as Codex does. */
const CALLS: readonly string[] = ["function_call", "custom_tool_call", "local_shell_call"];

/** Which calls there have been, and which of them wait for their output. */
class Calls {
  readonly #recipients: Map<string, string> = new Map();
  readonly #waiting: Set<string> = new Set();

  constructor(items: readonly StoredItem[]) {
    for (const item of items) this.add(item);
  }

  add({ item }: StoredItem): void {
    const id = item["call_id"] as string;
    if (CALLS.includes(item.type)) {
      const { name = LOCAL_SHELL, namespace } = item as Partial<FunctionCallInput>;
      this.#recipients.set(id, recipientOf(name, namespace));
      // what was cut short is no call that anybody could have answered
      if (item["status"] !== "incomplete") this.#waiting.add(id);
    } else if (item.type === "function_call_output" || item.type === "custom_tool_call_output")
      this.#waiting.delete(id);
  }

  recipientOf(callId: string, param: string): string {
    const recipient = this.#recipients.get(callId);
    if (recipient !== undefined) return recipient;
    throw invalid(param, `No tool call found for function call output with call_id ${callId}.`);
  }

  requireOutputs(): void {
    const [missing] = this.#waiting;
    if (missing !== undefined) throw invalid("input", `No tool output found for function call ${missing}.`);
  }
}

export function notFound(message: string, param: string, code: string | undefined = undefined): ApiError {
  return new ApiError(400, message, { param, ...(code !== undefined && { code }) });
}
