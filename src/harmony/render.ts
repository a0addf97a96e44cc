import type { Tokenizer } from "../tokenizer/index.ts";
import { finish, type Steps } from "../tokenizer/steps.ts";
import { developerText, hasFunctions, systemText } from "./content.ts";
import { HarmonyError } from "./errors.ts";
import type { Content, Message, Role } from "./messages.ts";

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
 * @throws HarmonyError if a message can't be expressed, such as a tool's message without the tool's name, or if a
 *   schema can't be read
 */
export function renderConversation(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: RenderOptions = {},
): number[] {
  return finish(conversationSteps(tokenizer, messages, options));
}

function* conversationSteps(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: RenderOptions,
): Steps<number[]> {
  const ids: number[] = [];
  const withFunctions = hasFunctions(messages);
  for (const message of shown(messages, options))
    for (const id of yield* messageSteps(tokenizer, message, withFunctions)) ids.push(id);
  return ids;
}

/** As renderConversation, then the start of the message that the model is to write. */
export function renderForCompletion(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: CompletionOptions = {},
): number[] {
  return finish(completionSteps(tokenizer, messages, options));
}

export interface CompletionOptions extends RenderOptions {
  /** Who writes next; "assistant" by default. */
  readonly nextRole?: Role;
}

/** As renderForCompletion, step by step. */
export function* completionSteps(
  tokenizer: Tokenizer,
  messages: readonly Message[],
  options: CompletionOptions = {},
): Steps<number[]> {
  const prompt = yield* conversationSteps(tokenizer, messages, options);
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

/**
 * Token ids of one message.
 *
 * @param options.withFunctions for a system message: whether the conversation has functions, see hasFunctions
 */
export function renderMessage(
  tokenizer: Tokenizer,
  message: Message,
  options: { readonly withFunctions?: boolean } = {},
): number[] {
  return finish(messageSteps(tokenizer, message, options.withFunctions ?? false));
}

function* messageSteps(tokenizer: Tokenizer, message: Message, withFunctions: boolean): Steps<number[]> {
  const ids: number[] = [];
  for (const piece of messagePieces(message, withFunctions)) {
    if (typeof piece !== "string") ids.push(tokenizer.specialId(piece.control));
    else for (const id of yield* tokenizer.encodeSteps(piece)) ids.push(id);
  }
  return ids;
}

/**
 * The text of a conversation, control tokens by name: what decoding the ids gives. It's for people to read: a text that
 * has the name of a control token in it looks the same, but isn't one.
 *
 * @param options.nextRole as for renderForCompletion; without it, the text of renderConversation
 * @throws HarmonyError as renderConversation
 */
export function renderText(
  messages: readonly Message[],
  options: RenderOptions & { readonly nextRole?: Role } = {},
): string {
  const withFunctions = hasFunctions(messages);
  const pieces = shown(messages, options).flatMap((message) => messagePieces(message, withFunctions));
  if (options.nextRole !== undefined) pieces.push(START, options.nextRole);
  return pieces
    .map((piece) => (typeof piece === "string" ? piece.replace(/\p{Surrogate}/gu, "\ufffd") : piece.control))
    .join("");
}

/** Text, which is encoded on its own, or a control token. */
type Piece = string | { readonly control: string };
const START: Piece = { control: "<|start|>" };

function messagePieces(message: Message, withFunctions: boolean): Piece[] {
  const { role, name, recipient, channel, contentType, content } = message;
  const pieces: Piece[] = [START];

  if (role === "tool") {
    if (!name) throw new HarmonyError("a tool's message needs the tool's name");
    pieces.push(name);
  } else {
    pieces.push(role);
    if (name !== undefined) pieces.push(`:${name}`);
  }
  if (recipient !== undefined && recipient !== "all") pieces.push(` to=${recipient}`);
  if (channel !== undefined) pieces.push({ control: "<|channel|>" }, channel);
  if (contentType?.startsWith(CONSTRAIN))
    pieces.push(" ", { control: CONSTRAIN }, contentType.slice(CONSTRAIN.length));
  else if (contentType !== undefined) pieces.push(` ${contentType}`);

  pieces.push({ control: "<|message|>" });
  if (typeof content === "string") pieces.push(content);
  else for (const part of content) pieces.push(contentText(part, role, withFunctions));

  pieces.push({ control: role === "assistant" && recipient !== undefined ? "<|call|>" : "<|end|>" });
  return pieces;
}

function shown(messages: readonly Message[], { dropAnalysis = true }: RenderOptions): readonly Message[] {
  return dropAnalysis ? withoutSpentAnalysis(messages) : messages;
}

// Looks at channels alone: calls of built-in tools on the analysis channel go too, with the tools' replies.
function withoutSpentAnalysis(messages: readonly Message[]): readonly Message[] {
  const lastOfAssistant = messages.findLast(({ role }) => role === "assistant");
  if (lastOfAssistant?.channel !== "final") return messages;
  const firstFinal = messages.findIndex(({ channel }) => channel === "final");
  return messages.filter(({ channel }, index) => index >= firstFinal || channel !== "analysis");
}

function contentText(content: Content, role: Role, withFunctions: boolean): string {
  if (content.type === "text") return content.text;
  if (content.type !== role) {
    throw new HarmonyError(`${content.type} content is in another role's message`, {
      expected: content.type,
      found: role,
    });
  }
  return content.type === "system" ? systemText(content, withFunctions) : developerText(content);
}
