import type { Role } from "./messages.ts";

/** A message without its content: what stands between `<|start|>` and `<|message|>`. */
export interface Header {
  readonly role: Role;
  readonly name?: string;
  readonly recipient?: string;
  readonly channel?: string;
  readonly contentType?: string;
}

/** A header as it was understood, and all that a strict reading objects to. */
export interface ReadHeader {
  readonly header: Header;
  readonly problems: readonly string[];
}

const ROLES: readonly string[] = ["user", "assistant", "system", "developer", "tool"];
const CHANNELS: readonly string[] = ["analysis", "commentary", "final"];
const CONSTRAIN = "<|constrain|>";

/**
 * Reads the text of a header. Its parts come in either order, as the model writes
 * `<|channel|>commentary to=functions.f <|constrain|>json` and rendering gives ` to=functions.f<|channel|>commentary …`.
 *
 * Agrees with openai/harmony 0.0.8 but for what it reads against its sense:
 * - `<|channel|>final <|constrain|>json`: the last word is a content type there too, and no recipient;
 * - `<|constrain|> json`: the marker belongs to the word behind it, and is no recipient;
 * - `user:alice`, which its renderer writes and its parser refuses, is a user with a name;
 * - `to=functions.f` with no role ahead is not a tool of that name;
 * - where a tool's message was asked for, `functions.f` is the tool's name, and not a recipient.
 *
 * @param text control tokens by name
 * @param hint the role, if it's known from what was asked of the model; the text may repeat it
 */
export function readHeader(text: string, hint: Role | undefined): ReadHeader {
  const problems: string[] = [];
  let rest = text;

  let channel: string | undefined;
  let markers = 0;
  rest = rest.replace(/<\|channel\|>([^\s<]*)/g, (_, name: string) => {
    markers++;
    channel = name || channel;
    return "";
  });
  if (markers > 0 && channel === undefined) problems.push("a channel marker without a channel");
  if (markers > 1) problems.push("more than one channel");

  // A bare marker belongs with the word after it, unless that is a recipient.
  rest = rest
    .replaceAll(CONSTRAIN, ` ${CONSTRAIN}`)
    .replace(/<\|constrain\|>[ \t]+(?!to=)(?=[^\s<])/g, CONSTRAIN);

  const words = rest.split(/[ \t\n\f\r]+/).filter((word) => word !== "");
  const author = takeAuthor(words, hint, problems);
  if (markers === 0 && words.length > 0 && CHANNELS.includes(words[0]!)) {
    problems.push("a channel without its marker");
    channel = words.shift();
  }

  const takeWord = (prefix: string): string | undefined => {
    const index = words.findIndex((word) => word.startsWith(prefix));
    return index < 0 ? undefined : words.splice(index, 1)[0];
  };
  if (words.findIndex((word) => word.startsWith("to=")) > 0)
    problems.push("the recipient isn't the first word");
  const typeAt = words.findIndex((word) => word.startsWith(CONSTRAIN));
  if (typeAt >= 0 && typeAt < words.length - 1) problems.push("the content type isn't the last word");
  let recipient = takeWord("to=")?.slice("to=".length);
  let contentType = takeWord(CONSTRAIN);
  while (takeWord(CONSTRAIN) !== undefined) {} // of several, the first counts
  if (recipient === undefined && words.length > 0) recipient = words.shift();
  if (contentType === undefined && words.length > 0) contentType = words.shift();
  if (words.some((word) => word.startsWith("to=")) || contentType?.startsWith("to="))
    problems.push("more than one recipient");
  if (recipient === "") {
    problems.push("an empty recipient");
    recipient = undefined;
  }
  if (text.includes("\ufffd")) problems.push("a broken character in the header");
  if (words.length > 0) problems.push(`unexpected words in the header: ${words.join(" ")}`);

  return {
    header: {
      ...author,
      ...(recipient === undefined ? {} : { recipient }),
      ...(channel === undefined ? {} : { channel }),
      ...(contentType === undefined ? {} : { contentType }),
    },
    problems,
  };
}

// Takes the role, and perhaps a name, off the front of the words.
function takeAuthor(
  words: string[],
  hint: Role | undefined,
  problems: string[],
): Pick<Header, "role" | "name"> {
  const first = words[0];
  const colon = first?.startsWith("tool:") ? -1 : (first?.indexOf(":") ?? -1);
  const role = colon < 0 ? first : first?.slice(0, colon);
  const isRole = role !== undefined && ROLES.includes(role);

  if (hint !== undefined) {
    if (isRole && role === hint) words.shift();
    else if (hint === "tool" && first !== undefined && !first.startsWith("to=")) {
      words.shift();
      return { role: "tool", name: first };
    } else return { role: hint };
  } else if (isRole) {
    words.shift();
  } else if (first === undefined || first.startsWith("to=") || first.startsWith(CONSTRAIN)) {
    problems.push("a header without a role");
    return { role: "assistant" };
  } else {
    if (words.length === 1) problems.push(`unknown role: ${first}`);
    words.shift();
    return { role: "tool", name: first };
  }
  if (role === "tool" && hint === undefined) return { role, name: role };
  return colon < 0 ? { role: role as Role } : { role: role as Role, name: first!.slice(colon + 1) };
}
