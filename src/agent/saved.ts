import { UsageError } from "../errors.ts";
import { type Message, messageText, type ReasoningEffort, type Role } from "../harmony/index.ts";

/** A conversation as it is kept in a file. */
export interface SavedConversation {
  readonly effort: ReasoningEffort;
  readonly instructions?: string;
  readonly messages: readonly Message[];
}

/** JSON of a conversation, to be read by {@link parseConversation}. */
export function conversationToJson(conversation: SavedConversation): string {
  const { effort, instructions } = conversation;
  const messages = conversation.messages.map((message) => ({ ...message, content: messageText(message) }));
  return `${JSON.stringify({ format: FORMAT, effort, instructions, messages }, undefined, 2)}\n`;
}

const FORMAT = "gpt-oss conversation 1";
const EFFORTS: readonly unknown[] = ["low", "medium", "high"] satisfies ReasoningEffort[];
const ROLES: readonly unknown[] = ["user", "assistant", "tool"] satisfies Role[];
const OPTIONAL = ["name", "recipient", "channel", "contentType"] as const;

/**
 * Reads a conversation from a file's text, and checks every part of it.
 *
 * @param where the file, for errors
 */
export function parseConversation(text: string, where: string): SavedConversation {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new UsageError("not a JSON file", { where, found: (cause as Error).message, cause });
  }
  const fields = record(json, where);
  if (fields["format"] !== FORMAT) {
    throw new UsageError("not a saved conversation", {
      where,
      expected: `"format": "${FORMAT}"`,
      found: JSON.stringify(fields["format"]) ?? "none",
    });
  }
  const { effort, instructions, messages } = fields;
  if (!EFFORTS.includes(effort)) throw wrong(`${where}, effort`, "low, medium or high", effort);
  if (instructions !== undefined && typeof instructions !== "string")
    throw wrong(`${where}, instructions`, "text", instructions);
  if (!Array.isArray(messages)) throw wrong(`${where}, messages`, "an array", messages);
  return {
    effort: effort as ReasoningEffort,
    ...(instructions !== undefined && { instructions }),
    messages: messages.map((message, i) => parseMessage(message, `${where}, message ${i}`)),
  };
}

function parseMessage(json: unknown, where: string): Message {
  const { role, content, ...rest } = record(json, where);
  if (!ROLES.includes(role)) throw wrong(`${where}, role`, "user, assistant or tool", role);
  if (typeof content !== "string") throw wrong(`${where}, content`, "text", content);
  const message: Record<string, string> = {};
  for (const name of OPTIONAL) {
    const value = rest[name];
    if (value === undefined) continue;
    if (typeof value !== "string") throw wrong(`${where}, ${name}`, "text", value);
    message[name] = value;
  }
  if (role === "tool" && !message["name"]) throw wrong(`${where}, name`, "the tool's name", undefined);
  return { role: role as Role, ...message, content };
}

function record(json: unknown, where: string): Record<string, unknown> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw wrong(where, "an object", json);
  return json as Record<string, unknown>;
}

function wrong(where: string, expected: string, found: unknown): UsageError {
  return new UsageError("a damaged conversation", {
    where,
    expected,
    found: JSON.stringify(found) ?? "none",
  });
}
