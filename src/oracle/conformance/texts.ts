import { createHash } from "node:crypto";
import type { CheckResult } from "../checks.ts";
import type { StatedIds } from "./goldens.ts";
import { check, type LevelOutcome, type Suite } from "./suite.ts";

/** Of the long runs those of so many characters: with some tokenizers the time grows with the square, openai-harmony's among them. */
const LONGEST = 5000;

/** Level 3: texts to ids of o200k_harmony, and back. */
export async function checkTokenizer(suite: Suite): Promise<LevelOutcome> {
  const { runtime, goldens } = suite;
  const texts = await goldens.texts();
  const runs = (await goldens.runs()).filter(({ unit, times }) => unit.length * times <= LONGEST);
  const checks: LevelOutcome["checks"] = [];
  const hints: string[] = [];
  const { encode, decode } = runtime;
  if (encode) {
    await check(suite, checks, `encode ${texts.length} texts`, () =>
      eachOf(texts, async ({ text, ids }) => {
        const found = await encode.call(runtime, text);
        if (sameIds(found, ids)) return undefined;
        hints.push(encodeHint(text, found, ids));
        return `${quoted(text)}: ${difference(found, ids)}`;
      }),
    );
    await check(suite, checks, `encode ${runs.length} long runs`, () =>
      eachOf(runs, async ({ prefix, unit, times, suffix, count, sha256 }) => {
        const found = await encode.call(runtime, prefix + unit.repeat(times) + suffix);
        return sameIds(found, { count, sha256 })
          ? undefined
          : `${quoted(unit)} ${times} times: ${found.length} ids, expected ${count}`;
      }),
    );
  }
  if (decode) {
    const whole = texts.filter(({ text }) => !hasLoneSurrogate(text));
    await check(suite, checks, `decode ${whole.length} texts`, () =>
      eachOf(whole, async ({ text, ids }) => {
        const found = await decode.call(runtime, ids);
        return found === text ? undefined : `expected ${quoted(text)}, found ${quoted(found)}`;
      }),
    );
  }
  const decoded = checks.find(({ name }) => name.startsWith("decode"));
  if (decoded && !decoded.passed && Number.isFinite(decoded.error))
    hints.push(
      "Ids are joined as bytes and decoded as UTF-8 once, not one by one; no space is added or taken away.",
    );
  return { checks, hint: hints[0] };
}

function encodeHint(text: string, found: readonly number[], expected: readonly number[]): string {
  if (found.at(0) !== expected[0] && sameIds(found.slice(1), expected))
    return "An id is put in front: this model has no beginning-of-text token.";
  if (found.some((id) => id >= 199998) || text.includes("<|"))
    return "Special tokens written as text are text: a user could otherwise forge messages.";
  if (hasLoneSurrogate(text)) return "A lone surrogate is no character: it is encoded as U+FFFD.";
  if (/\d{4}/.test(text)) return "Digits go in groups of three from the left, as o200k's pattern has it.";
  if (/[^\p{ASCII}]/u.test(text))
    return "o200k's pattern tells upper from lower case letters, marks and other letters by Unicode's categories; the text isn't normalised (no NFC) ahead of it.";
  return "o200k's pattern splits a text ahead of the merges; merges go by rank, the lowest first, from left to right.";
}

/** Level 4: conversations to ids, and what a model wrote to messages. */
export async function checkHarmony(suite: Suite): Promise<LevelOutcome> {
  const { runtime, goldens } = suite;
  const checks: LevelOutcome["checks"] = [];
  let hint: string | undefined;
  const { render, parse } = runtime;
  if (render) {
    const conversations = await goldens.conversations();
    for (const dropAnalysis of [true, false])
      await check(
        suite,
        checks,
        `render ${conversations.length} conversations${dropAnalysis ? "" : ", analysis kept"}`,
        () =>
          eachOf(conversations, async ({ name, messages, ids, kept = ids }) => {
            const [expected, other] = dropAnalysis ? [ids, kept] : [kept, ids];
            const found = await render.call(runtime, messages, { dropAnalysis });
            if (sameIds(found, expected)) return undefined;
            hint ??= renderHint(found, expected, other);
            return `${quoted(name)}: ${difference(found, expected)}`;
          }),
      );
  }
  if (parse) {
    const streams = await goldens.streams();
    await check(suite, checks, `parse ${streams.length} streams`, () =>
      eachOf(streams, async ({ name, role, ids, strict }) => {
        const found = plainMessages(await parse.call(runtime, ids, role));
        const expected = plainMessages(strict.messages ?? []);
        if (found === expected) return undefined;
        hint ??=
          "A header is role, then perhaps to=RECIPIENT, <|channel|> and a channel, to=RECIPIENT again, <|constrain|> and a type, in any of the places that the library reads; <|end|>, <|call|> and <|return|> end a message, and what is cut off still is one.";
        return `${quoted(name)}: expected ${expected.slice(0, 300)}, found ${found.slice(0, 300)}`;
      }),
    );
  }
  return { checks, hint };
}

function renderHint(found: readonly number[], expected: StatedIds, other: StatedIds): string {
  if (sameIds(found, other))
    return "Analysis ahead of the last final answer is dropped, unless it is asked for; analysis after it stays.";
  if (found.at(-1) === 173781 && sameIds(found.slice(0, -2), expected))
    return "The start of the assistant's turn (200006 173781) is not part of a conversation.";
  if (found[0] === 199998) return "There is no beginning-of-text token.";
  return "The system message's lines and their order, blank lines between them, the TypeScript of tools with its comments and commas: all are the library's to the character (docs/harmony.md). A message that ends a call ends in <|call|>, another in <|end|>.";
}

/** Messages as text to compare: keys in one order, text parts joined, nothing for fields that are null. */
function plainMessages(messages: readonly unknown[]): string {
  const plain = messages.map((message) => {
    const { role, name, recipient, channel, contentType, content } = (message ?? {}) as Record<
      string,
      unknown
    >;
    const text = Array.isArray(content)
      ? content.map((part: { text?: unknown } | null) => part?.text ?? "").join("")
      : content;
    return Object.fromEntries(
      Object.entries({ role, name, recipient, channel, contentType, content: text }).filter(
        ([, value]) => value != null,
      ),
    );
  });
  return JSON.stringify(plain);
}

/** Counts the cases for which `wrong` has something to say, and keeps what it says of the first. */
async function eachOf<T>(
  cases: readonly T[],
  wrong: (item: T) => Promise<string | undefined>,
): Promise<CheckResult> {
  let error = 0;
  let first: string | undefined;
  for (const item of cases) {
    const what = await wrong(item);
    if (what === undefined) continue;
    error++;
    first ??= what;
  }
  return { error, tolerance: 0, unit: "differing", ...(first !== undefined && { detail: first }) };
}

function sameIds(found: readonly number[], expected: StatedIds): boolean {
  if ("sha256" in expected) {
    const digest = createHash("sha256").update(Uint32Array.from(found)).digest("hex");
    return found.length === expected.count && digest === expected.sha256;
  }
  return found.length === expected.length && expected.every((id, i) => id === found[i]);
}

function difference(found: readonly number[], expected: StatedIds): string {
  if ("sha256" in expected)
    return `${found.length} ids, expected ${expected.count}${found.length === expected.count ? " others" : ""}`;
  const at = expected.findIndex((id, i) => id !== found[i]);
  const i = at < 0 ? expected.length : at;
  return `at id ${i} expected ${expected[i] ?? "the end"}, found ${found[i] ?? "the end"}`;
}

function hasLoneSurrogate(text: string): boolean {
  return /\p{Surrogate}/u.test(text);
}

function quoted(text: unknown): string {
  const json = JSON.stringify(text) ?? "nothing";
  return json.length > 80 ? `${json.slice(0, 80)}…` : json;
}
