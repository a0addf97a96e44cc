import type { Tokenizer } from "../tokenizer/index.ts";
import { HarmonyError } from "./errors.ts";
import type { Content, DeveloperContent, Message, Role, SystemContent } from "./messages.ts";

export interface RenderOptions {
  /**
   * Whether to leave out reasoning that is over: once the last assistant message is on the final channel, analysis
   * ahead of the first final message is no longer shown to the model. True by default.
   */
  readonly dropAnalysis?: boolean;
}

const CONSTRAIN = "<|constrain|>";

/*
 * The rules in this file are those of openai/harmony 0.0.8, src/encoding.rs. Each text is encoded on its own, since
 * tokens never reach over the seams, and control tokens are placed by id, so that no text can produce one.
 */

/**
 * Token ids of a conversation.
 *
 * @throws HarmonyError if a message can't be expressed, such as a tool's message without the tool's name
 */
export function renderConversation(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: RenderOptions = {},
): number[] {
  const kept = (options.dropAnalysis ?? true) ? withoutSpentAnalysis(messages) : messages;
  return kept.flatMap((message) => renderMessage(tokenizer, message));
}

/** As renderConversation, then the start of the message that the model is to write. */
export function renderForCompletion(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: RenderOptions & { /** Who writes next; "assistant" by default. */ readonly nextRole?: Role } = {},
): number[] {
  const prompt = renderConversation(tokenizer, messages, options);
  prompt.push(tokenizer.specialId("<|start|>"), ...tokenizer.encode(options.nextRole ?? "assistant"));
  return prompt;
}

/** As renderConversation, but a final message at the end is closed as the model itself closes it, by `<|return|>`. */
export function renderForTraining(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: RenderOptions = {},
): number[] {
  const ids = renderConversation(tokenizer, messages, options);
  const last = messages.at(-1);
  if (last?.role === "assistant" && last.channel === "final")
    ids[ids.length - 1] = tokenizer.specialId("<|return|>");
  return ids;
}

/** Token ids of one message. */
export function renderMessage(tokenizer: Tokenizer, message: Message): number[] {
  const ids: number[] = [];
  const control = (name: string): void => {
    ids.push(tokenizer.specialId(name));
  };
  const text = (part: string): void => {
    for (const id of tokenizer.encode(part)) ids.push(id);
  };
  const { role, name, recipient, channel, contentType, content } = message;

  control("<|start|>");
  if (role === "tool") {
    if (!name) throw new HarmonyError("a tool's message needs the tool's name");
    text(name);
  } else {
    text(role);
    if (name !== undefined) text(`:${name}`);
  }
  if (recipient !== undefined && recipient !== "all") text(` to=${recipient}`);
  if (channel !== undefined) {
    control("<|channel|>");
    text(channel);
  }
  if (contentType?.startsWith(CONSTRAIN)) {
    text(" ");
    control(CONSTRAIN);
    text(contentType.slice(CONSTRAIN.length));
  } else if (contentType !== undefined) {
    text(` ${contentType}`);
  }

  control("<|message|>");
  if (typeof content === "string") text(content);
  else for (const part of content) text(contentText(part, role));

  control(role === "assistant" && recipient !== undefined ? "<|call|>" : "<|end|>");
  return ids;
}

// Looks at channels alone: calls of built-in tools on the analysis channel go too, with the tools' replies.
function withoutSpentAnalysis(messages: readonly Message[]): readonly Message[] {
  const lastOfAssistant = messages.findLast(({ role }) => role === "assistant");
  if (lastOfAssistant?.channel !== "final") return messages;
  const firstFinal = messages.findIndex(({ channel }) => channel === "final");
  return messages.filter(({ channel }, index) => index >= firstFinal || channel !== "analysis");
}

function contentText(content: Content, role: Role): string {
  if (content.type === "text") return content.text;
  if (content.type !== role) {
    throw new HarmonyError(`${content.type} content is in another role's message`, {
      expected: content.type,
      found: role,
    });
  }
  return content.type === "system" ? systemText(content) : developerText(content);
}

/** The text of a system message. */
export function systemText({
  identity = "You are ChatGPT, a large language model trained by OpenAI.",
  knowledgeCutoff = "2024-06",
  conversationStartDate = null,
  reasoningEffort = "medium",
  channels = ["analysis", "commentary", "final"],
  channelRequired = true,
}: SystemContent): string {
  const about: string[] = [];
  if (identity !== null) about.push(identity);
  if (knowledgeCutoff !== null) about.push(`Knowledge cutoff: ${knowledgeCutoff}`);
  if (conversationStartDate !== null) about.push(`Current date: ${conversationStartDate}`);

  const sections: string[] = [];
  if (about.length > 0) sections.push(about.join("\n"));
  if (reasoningEffort !== null) sections.push(`Reasoning: ${reasoningEffort}`);
  if (channels !== null && channels.length > 0) {
    const rule = channelRequired ? " Channel must be included for every message." : "";
    sections.push(`# Valid channels: ${channels.join(", ")}.${rule}`);
  }
  return sections.join("\n\n");
}

/** The text of a developer message. */
export function developerText({ instructions = null }: DeveloperContent): string {
  return instructions === null ? "" : `# Instructions\n\n${instructions}`;
}
