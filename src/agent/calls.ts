import type { Message } from "../harmony/index.ts";
import { messageText, resolveRecipient } from "../harmony/index.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import type { Tool, ToolCall, ToolResult } from "../tools/tool.ts";
import { namespaces } from "./prompt.ts";

/** Whom an assistant's message calls, if anybody: the recipient decides, whatever the channel. */
export function recipientOf({ role, recipient }: Message): string | undefined {
  const isCall = role === "assistant" && recipient !== undefined && !PEOPLE.includes(recipient);
  return isCall ? recipient : undefined;
}

const PEOPLE = ["all", "user", "assistant"];

/** The tool that a message calls, and the call as the tool is to see it. */
export function resolve(
  tools: readonly Tool[],
  message: Message,
): { call: ToolCall; tool: Tool | undefined } {
  const content = messageText(message);
  const found = resolveRecipient(message, namespaces(tools));
  if (!found) return { tool: undefined, call: { recipient: message.recipient ?? "", function: "", content } };
  const { name } = found.namespace;
  const called = found.tool?.name ?? "";
  const tool = tools.find(
    ({ namespace }) =>
      namespace.name === name && (called === "" || namespace.tools.some((each) => each.name === called)),
  );
  return { tool, call: { recipient: called === "" ? name : `${name}.${called}`, function: called, content } };
}

export interface CallLimits {
  /** Time for one call. */
  readonly seconds: number;
  /** Characters of a result that the model gets to see. */
  readonly characters: number;
}

/**
 * Runs a call. A tool that fails, takes too long or doesn't exist gives a result that says so.
 *
 * @throws the signal's reason if it is aborted
 */
export async function runCall(
  tools: readonly Tool[],
  tool: Tool | undefined,
  call: ToolCall,
  { seconds, characters }: CallLimits,
  signal: AbortSignal | undefined,
): Promise<ToolResult> {
  if (!tool) {
    const known = namespaces(tools).flatMap(({ name, tools }) =>
      tools.length === 0 ? [name] : tools.map((f) => `${name}.${f.name}`),
    );
    const available = known.length === 0 ? "There are no tools." : `There are: ${known.join(", ")}.`;
    return { text: `Unknown tool: ${call.recipient.slice(0, 100)}. ${available}`, isError: true };
  }
  const timeout = new AbortController();
  // not AbortSignal.timeout, whose timer keeps no process alive that has nothing else to wait for
  const timer = setTimeout(() => timeout.abort(), Math.min(seconds * 1000, MAX_TIMER));
  const either = signal ? AbortSignal.any([signal, timeout.signal]) : timeout.signal;
  let abort = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(either.reason);
    either.addEventListener("abort", abort, { once: true });
  });
  try {
    either.throwIfAborted();
    const result = await Promise.race([tool.call(call, { signal: either }), aborted]);
    return { ...result, text: cut(result.text, characters) };
  } catch (error) {
    signal?.throwIfAborted();
    if (timeout.signal.aborted)
      return { text: `[ERROR] No result within ${seconds} seconds.`, isError: true };
    const what = error instanceof Error ? error.message : String(error);
    return { text: cut(`[ERROR] ${what}`, characters), isError: true };
  } finally {
    clearTimeout(timer);
    either.removeEventListener("abort", abort); // or it would stay in memory
  }
}

const MAX_TIMER = 2 ** 31 - 1;

function cut(text: string, characters: number): string {
  return text.length <= characters ? text : cutAt(text, characters);
}

/** The text, or as much of its start as fits in so many tokens. */
export function cutToTokens(text: string, limit: number, tokenizer: Tokenizer): string {
  if (text === "" || text.length * 3 <= limit) return text; // at worst each byte is a token
  const ids = tokenizer.encode(text);
  if (ids.length <= limit) return text;
  const kept = tokenizer.decode(ids.slice(0, Math.max(0, limit - 20))).replace(/\ufffd+$/, "");
  return cutAt(text, kept.length);
}

function cutAt(text: string, at: number): string {
  const kept = text.slice(0, at).replace(/[\ud800-\udbff]$/, "");
  return `${kept}\n[… ${text.length - kept.length} more characters were cut]`;
}
