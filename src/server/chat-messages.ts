import type { Message } from "../harmony/index.ts";
import type { ChatMessage, ChatToolCall } from "./chat-schema.ts";
import { recipientOf } from "./conversation.ts";
import { invalid } from "./errors.ts";

export interface ChatConversation {
  /** What `system` and `developer` messages said ahead of all others. */
  readonly instructions: readonly string[];
  /** All that follows, in Harmony's terms. */
  readonly messages: readonly Message[];
}

/**
 * A client's conversation as Harmony has it. Reasoning is taken back ahead of calls of the current turn, where the model
 * needs it to know why it called; what led to an answer is left out, as gpt-oss was trained.
 *
 * A reply stands behind its call, since gpt-oss calls one function at a time, in whatever order replies were sent.
 *
 * @throws ApiError 400 where calls and replies don't match
 */
export function readMessages(messages: readonly ChatMessage[]): ChatConversation {
  const first = messages.findIndex(({ role }) => role !== "system" && role !== "developer");
  const opening = first < 0 ? messages : messages.slice(0, first);
  const turnBegin = messages.findLastIndex(({ role }, i) => role === "user" || isAnswer(messages, i));
  const converted: Message[] = [];
  for (let i = opening.length; i < messages.length; i++) {
    const message = messages[i]!;
    if (message.role === "user") {
      const { content, name } = message;
      converted.push({ role: "user", ...(name && { name }), content: textOf(content) });
    } else if (message.role === "assistant") {
      const reasoning = message.reasoning || message.reasoning_content || message.thinking;
      const calls = message.tool_calls ?? [];
      if (reasoning && i > turnBegin)
        converted.push({ role: "assistant", channel: "analysis", content: reasoning });
      const content = textOf(message.content ?? "");
      const channel = isAnswer(messages, i) ? "final" : "commentary";
      if (content !== "") converted.push({ role: "assistant", channel, content });
      const replies = repliesAt(messages, i + 1);
      converted.push(...callsAndReplies(calls, replies, i));
      i += replies.length;
    } else if (message.role === "tool") {
      throw invalid(
        `messages[${i}]`,
        `'messages[${i}]': a tool's message must follow the assistant's with its call.`,
      );
    } else {
      converted.push({
        role: "developer",
        content: [{ type: "developer", instructions: textOf(message.content) }],
      });
    }
  }
  return { instructions: opening.map(({ content }) => textOf(content ?? "")), messages: converted };
}

/**
 * Whether the assistant's message ends its turn. It doesn't if a call follows, in it or behind it: some clients send what was
 * thought, said and called in one step as messages of their own.
 */
function isAnswer(messages: readonly ChatMessage[], at: number): boolean {
  let i = at;
  for (let message = messages[i]; message?.role === "assistant"; message = messages[++i])
    if (message.tool_calls?.length) return false;
  return i > at;
}

type Reply = Extract<ChatMessage, { role: "tool" }>;

function repliesAt(messages: readonly ChatMessage[], from: number): readonly Reply[] {
  let to = from;
  while (messages[to]?.role === "tool") to++;
  return messages.slice(from, to) as Reply[];
}

/** @param at where the assistant's message stands in the request */
function callsAndReplies(calls: readonly ChatToolCall[], replies: readonly Reply[], at: number): Message[] {
  const unknown = replies.findIndex(({ tool_call_id }) => calls.every(({ id }) => id !== tool_call_id));
  if (unknown >= 0) {
    const param = `messages[${at + 1 + unknown}].tool_call_id`;
    throw invalid(param, `'${param}': messages[${at}] has no call of this id.`);
  }
  return calls.flatMap(({ id, function: { name, arguments: content } }): Message[] => {
    const recipient = recipientOf(name);
    const replied = replies.filter(({ tool_call_id }) => tool_call_id === id);
    if (replied.length !== 1) {
      const param = `messages[${at}].tool_calls`;
      const found = replied.length === 0 ? "has no reply" : "has more than one reply";
      throw invalid(param, `'${param}': the call '${id.slice(0, 64)}' ${found}.`);
    }
    return [
      { role: "assistant", recipient, channel: "commentary", contentType: "<|constrain|>json", content },
      {
        role: "tool",
        name: recipient,
        recipient: "assistant",
        channel: "commentary",
        content: textOf(replied[0]!.content),
      },
    ];
  });
}

function textOf(content: ChatMessage["content"]): string {
  if (typeof content === "string") return content;
  return (content ?? []).map(({ text }) => text).join("");
}
