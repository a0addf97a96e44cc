import type { ResponseFormat, ToolNamespace } from "./tools.ts";

/** Who wrote a message. A tool is further told by its name, such as `functions.get_weather`. */
export type Role = "user" | "assistant" | "system" | "developer" | "tool";

/** How long the model thinks before it answers. */
export type ReasoningEffort = "low" | "medium" | "high";

export interface TextContent {
  readonly type: "text";
  readonly text: string;
}

/**
 * What a system message says, as fields; only system messages may hold it. A field left out takes its default, null
 * leaves its line out of the message.
 */
export interface SystemContent {
  readonly type: "system";
  /** First line. The model was trained with the default; another persona belongs in the developer message. */
  readonly identity?: string | null;
  /** Year and month, "2024-06" by default. */
  readonly knowledgeCutoff?: string | null;
  /** Year, month and day, such as "2026-01-02"; left out by default, and never read from the clock. */
  readonly conversationStartDate?: string | null;
  /** "medium" by default. */
  readonly reasoningEffort?: ReasoningEffort | null;
  /** analysis, commentary and final by default. */
  readonly channels?: readonly string[] | null;
  /** Whether each message must name its channel, true by default. */
  readonly channelRequired?: boolean;
  /** Built-in tools: BROWSER and PYTHON. No two may have the same name. */
  readonly tools?: readonly ToolNamespace[];
}

/** What a developer message says, as fields; only developer messages may hold it. */
export interface DeveloperContent {
  readonly type: "developer";
  /** What is elsewhere called the system prompt. */
  readonly instructions?: string | null;
  /** One's own tools, see functionTools. No two namespaces may have the same name. */
  readonly tools?: readonly ToolNamespace[];
  /** Shapes that the answer may have. */
  readonly responseFormats?: readonly ResponseFormat[];
}

export type Content = TextContent | SystemContent | DeveloperContent;

/** One message of a conversation, as Harmony frames it. */
export interface Message {
  readonly role: Role;
  /** Of a tool (needed there), or of one user among several. */
  readonly name?: string;
  /** The tool that is called, such as `functions.get_weather`; in a tool's reply, `assistant`. */
  readonly recipient?: string;
  /** `analysis` is the reasoning, `commentary` holds calls and remarks, `final` is the answer. */
  readonly channel?: string;
  /** Such as `<|constrain|>json` ahead of a call's arguments, or `code`. */
  readonly contentType?: string;
  /** A string is short for one TextContent. Several parts follow each other without a separator. */
  readonly content: string | readonly Content[];
}

/** A system message with the given fields and defaults for the rest. */
export function systemMessage(fields: Omit<SystemContent, "type"> = {}): Message {
  return { role: "system", content: [{ type: "system", ...fields }] };
}

/** A developer message with these instructions, and perhaps tools and formats of the answer. */
export function developerMessage(
  instructions: string | null,
  fields: Pick<DeveloperContent, "tools" | "responseFormats"> = {},
): Message {
  return { role: "developer", content: [{ type: "developer", instructions, ...fields }] };
}

/** The plain text of a message; fields of system and developer content aren't part of it. */
export function messageText({ content }: Message): string {
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? part.text : "")).join("");
}
