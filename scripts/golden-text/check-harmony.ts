/**
 * The long check of Harmony: new random conversations and streams, through openai-harmony and through this library.
 *
 *     npx tsx scripts/golden-text/check-harmony.ts [--count N] [--seed SEED] [--python PATH] [--show N]
 *
 * Needs Python (`--python`, or PYTHON in the environment) with the packages of requirements.txt. For each of N
 * conversations (default 3000), the ids must be those of openai-harmony, whole, without dropped analysis and for
 * training, and the text must be what they decode to. For each of N streams, most of them damaged:
 *
 * - Whatever our strict parser takes, openai-harmony takes too, with the same messages and, but for broken UTF-8, the
 *   same text by token. Left out are streams with a header that we read otherwise on purpose; see readHeader.
 * - Whatever our strict parser refuses, openai-harmony refuses too, unless the reason is one of STRICTER.
 * - The lenient parser takes everything, and gives what the strict one gives where that one takes it.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, parseArgs } from "node:util";
import {
  BROWSER,
  createParser,
  HarmonyError,
  type HarmonyEvent,
  type Message,
  PYTHON,
  type Role,
  renderConversation,
  renderForTraining,
  renderText,
} from "../../src/harmony/index.ts";
import { o200kHarmony } from "../../test/tokenizer/o200k.ts";

/** What we refuse in strict mode and openai-harmony lets through, with what it makes of it. */
const STRICTER: readonly [reason: RegExp, theirs: string][] = [
  [/^<\|\w+\|> within a message/, "control tokens become text of the message"],
  [/^<\|\w+\|> within a header/, "control tokens become words of the header"],
  [/^more than one channel/, "the second marker becomes a word of the header"],
  [/^the content type isn't the last word/, "the type becomes a recipient"],
  [/^a channel without its marker/, "the channel becomes a recipient"],
  [/^the recipient isn't the first word/, "the word ahead of it becomes a recipient"],
  [/^an empty recipient/, "an empty recipient"],
  [/^a header without a role/, "the recipient becomes the name of a tool"],
];

/** As in harmony_random.py. */
const WITHOUT_TOKEN = 4294967295;

interface Conversation {
  messages: Message[];
  ids: number[];
  kept?: number[];
  training?: number[];
}
interface Stream {
  role: Role | null;
  ids: number[];
  strict: { messages?: Message[]; deltas?: string[]; error?: string };
}

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "3000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    python: { type: "string", default: process.env["PYTHON"] ?? "python3" },
    show: { type: "string", default: "5" },
  },
});
const tokenizer = o200kHarmony();
const tally = new Map<string, number>();
let failures = 0;

const count = (what: string): void => {
  tally.set(what, (tally.get(what) ?? 0) + 1);
};
const fail = (what: string, details: unknown): void => {
  count(`FAILED: ${what}`);
  if (failures++ < Number(values.show)) console.log(`${what}\n${JSON.stringify(details)}\n`);
};

function checkConversation({ messages, ids, kept = ids, training = ids }: Conversation): void {
  count("conversations");
  const ours = renderConversation(tokenizer, messages);
  const found = {
    ids: ours,
    kept: renderConversation(tokenizer, messages, { dropAnalysis: false }),
    training: renderForTraining(tokenizer, messages),
  };
  if (!isDeepStrictEqual(found, { ids, kept, training }))
    fail("other ids", { messages, theirs: tokenizer.decode(ids), ours: tokenizer.decode(ours) });
  if (renderText(messages) !== tokenizer.decode(ours)) fail("other text", messages);
}

function checkStream(stream: Stream): void {
  count("streams");
  count(`  ${compareStream(stream)}`);
}

function compareStream({ role, ids, strict: theirs }: Stream): string {
  const hint = role === null ? {} : { role };
  const lenient = parse(ids, hint).flat();
  let strict: HarmonyEvent[][];
  try {
    strict = parse(ids, { ...hint, strict: true });
  } catch (error) {
    if (!(error instanceof HarmonyError)) throw error;
    const details = { role, ids, text: tokenizer.decode(ids), error: error.message, theirs };
    if (!lenient.some(({ type }) => type === "repair") && ids.length > 0)
      fail("refused, but not repaired", details);
    if (theirs.error !== undefined) return "refused by both";
    const known = STRICTER.find(([reason]) => reason.test(error.message));
    if (known === undefined) fail("refused by us alone", details);
    return `refused by us; theirs: ${known?.[1]}`;
  }

  const events = strict.flat();
  const messages = events.flatMap((event) => (event.type === "end" ? [event.message] : []));
  const details = { role, ids, text: tokenizer.decode(ids), messages, theirs };
  if (!isDeepStrictEqual(events, lenient)) fail("strict and lenient differ", details);
  if (events.some((event) => event.type === "header" && readOtherwise(event, role)))
    return "with a header that we read otherwise";
  if (ids.includes(WITHOUT_TOKEN))
    return "with an id that has no token; theirs loses the rest of the message";
  if (!isDeepStrictEqual(messages, theirs.messages)) fail("other messages", details);
  const deltas = strict
    .slice(0, -1)
    .map((all) => all.map((event) => (event.type === "text" ? event.delta : "")).join(""));
  if (!/\ufffd/.test(deltas.join("")) && !isDeepStrictEqual(deltas, theirs.deltas))
    fail("other text by token", details);
  return "with the same messages";
}

/** Events of each token, and of the end. */
function parse(ids: readonly number[], options: Parameters<typeof createParser>[1]): HarmonyEvent[][] {
  const parser = createParser(tokenizer, options);
  return [...ids.map((id) => parser.push(id)), parser.end()];
}

// The headers that readHeader lists.
function readOtherwise({ header, raw }: HarmonyEvent & { type: "header" }, hint: Role | null): boolean {
  const typeWithoutRecipient = header.contentType !== undefined && header.recipient === undefined;
  const named = header.role !== "tool" && header.name !== undefined;
  const toolWithHint = hint === "tool" && header.role === "tool";
  return typeWithoutRecipient || named || toolWithHint || /<\|constrain\|>\s/.test(raw);
}

const script = fileURLToPath(new URL("make_harmony.py", import.meta.url));
const child = spawn(values.python, [script, "--fresh", values.seed, values.count], {
  stdio: ["ignore", "pipe", "inherit"],
});
const exit = new Promise<number | null>((resolve) => child.on("close", resolve));
for await (const line of createInterface({ input: child.stdout })) {
  const found = JSON.parse(line, (_, value: { name?: string; tools?: unknown } | null) =>
    value?.tools === null ? (value.name === "browser" ? BROWSER : PYTHON) : value,
  ) as Conversation | Stream;
  if ("messages" in found) checkConversation(found);
  else checkStream(found);
}
if ((await exit) !== 0) throw new Error("Python failed");

console.log(`seed ${values.seed}`);
for (const [what, times] of [...tally].sort()) console.log(`${String(times).padStart(7)}  ${what}`);
if (failures > 0) process.exitCode = 1;
