import { isDeepStrictEqual } from "node:util";
import {
  createParser,
  HarmonyError,
  type HarmonyEvent,
  type Message,
  type ParserOptions,
  type Role,
} from "../../src/harmony/index.ts";
import { messagesOf, repairsOf, tokenizer } from "./stream.ts";

/** Ids, the role that was asked for, and what openai-harmony's strict parser makes of them. */
export interface TheirStream {
  readonly role: Role | null;
  readonly ids: readonly number[];
  readonly strict: {
    readonly messages?: readonly Message[];
    readonly deltas?: readonly string[];
    readonly error?: string;
  };
}

/** What we refuse in strict mode and openai-harmony lets through, with what it makes of it. */
const STRICTER: readonly [reason: RegExp, theirs: string][] = [
  [/^<\|\w+\|> within a message/, "control tokens become text of the message"],
  [/^<\|\w+\|> within a header/, "control tokens become words of the header"],
  [/^more than one channel/, "the second marker becomes a word of the header"],
  [/^the content type isn't the last word/, "the type becomes a recipient"],
  [/^a channel without its marker/, "the channel becomes a recipient"],
  [/^an empty recipient/, "an empty recipient"],
  [/^a broken character in the header/, "U+FFFD that is a token of its own is a word like others"],
  [/^a header without a role/, "the recipient becomes the name of a tool"],
];

/** In the place of an id that has no token; as in scripts/golden-text/harmony_random.py. */
const WITHOUT_TOKEN = 4294967295;

/**
 * Compares our parsers with openai-harmony's:
 *
 * - Whatever our strict parser takes, openai-harmony takes too, with the same messages and, but for broken UTF-8, the
 *   same text by token. Left out are streams with a header that we read otherwise on purpose; see readHeader.
 * - Whatever our strict parser refuses, openai-harmony refuses too, unless the reason is one of STRICTER.
 * - The lenient parser takes everything, and gives what the strict one gives where that one takes it.
 *
 * @returns what the comparison came to, and what is wrong, if anything
 */
export function compareStream({ role, ids, strict: theirs }: TheirStream): {
  outcome: string;
  wrong?: string;
} {
  const hint = role === null ? {} : { role };
  const lenient = parse(ids, hint).flat();
  let strict: HarmonyEvent[][];
  try {
    strict = parse(ids, { ...hint, strict: true });
  } catch (error) {
    if (!(error instanceof HarmonyError)) throw error;
    if (repairsOf(lenient).length === 0 && ids.length > 0)
      return { outcome: "refused", wrong: "refused, but not repaired" };
    if (theirs.error !== undefined) return { outcome: "refused by both" };
    const known = STRICTER.find(([reason]) => reason.test(error.message));
    if (known) return { outcome: `refused by us; theirs: ${known[1]}` };
    return { outcome: "refused by us", wrong: `refused by us alone: ${error.message}` };
  }

  const events = strict.flat();
  if (!isDeepStrictEqual(events, lenient)) return { outcome: "taken", wrong: "strict and lenient differ" };
  if (events.some((event) => event.type === "header" && readOtherwise(event, role)))
    return { outcome: "with a header that we read otherwise" };
  if (ids.includes(WITHOUT_TOKEN))
    return { outcome: "with an id without a token; theirs loses the rest of the message" };
  if (!isDeepStrictEqual(messagesOf(events).map(asTheirs), theirs.messages))
    return { outcome: "taken", wrong: `other messages: ${JSON.stringify(messagesOf(events))}` };
  const deltas = strict
    .slice(0, -1)
    .map((all) => all.map((event) => (event.type === "text" ? event.delta : "")).join(""));
  // Their deltas lag behind after invalid bytes.
  if (!/\ufffd/.test(deltas.join("")) && !isDeepStrictEqual(deltas, theirs.deltas))
    return { outcome: "taken", wrong: `other text by token: ${JSON.stringify(deltas)}` };
  return { outcome: "with the same messages" };
}

/** Events of each token, and of the end. */
function parse(ids: readonly number[], options: ParserOptions): HarmonyEvent[][] {
  const parser = createParser(tokenizer, options);
  return [...ids.map((id) => parser.push(id)), parser.end()];
}

// Headers that readHeader lists. The one with a type and no recipient they take too, and asTheirs says how.
function readOtherwise({ header, raw }: HarmonyEvent & { type: "header" }, hint: Role | null): boolean {
  const named = header.role !== "tool" && header.name !== undefined;
  const toolWithHint = hint === "tool" && header.role === "tool";
  return named || toolWithHint || /<\|constrain\|>\s/.test(raw);
}

function asTheirs(message: Message): Message {
  if (message.contentType === undefined || message.recipient !== undefined) return message;
  const { contentType, ...rest } = message;
  return { ...rest, recipient: contentType };
}
