import type { Page } from "./page.ts";
import { firstCharacters, indexAfter, quote } from "./python.ts";
import { wrapLines } from "./wrap.ts";

/** What measures a view: the model's own tokenizer. */
export interface ViewTokenizer {
  encode(text: string): readonly number[];
  decode(ids: readonly number[]): string;
}

/** Code points of the longest token of o200k: no more than this many a token need be encoded. */
const LONGEST_TOKEN = 128;

const MAX_FINDS = 50;
const LINES_PER_FIND = 4;

const wrapped = new WeakMap<Page, readonly string[]>();

/** The page's lines, as it is shown and cited. */
export function linesOf(page: Page): readonly string[] {
  let lines = wrapped.get(page);
  if (!lines) {
    lines = wrapLines(page.text);
    wrapped.set(page, lines);
  }
  return lines;
}

/**
 * Where a view that begins at line `start` ends: after `count` lines, or if that isn't positive, with the line in which the
 * numbered text reaches `tokens` tokens. The reference: `get_end_loc`.
 */
export function viewEnd(
  lines: readonly string[],
  start: number,
  count: number,
  tokens: number,
  tokenizer: ViewTokenizer | undefined,
): number {
  if (count > 0) return Math.min(start + count, lines.length);
  const most = (tokens + 1) * LONGEST_TOKEN;
  let text = "";
  for (let i = start; i < lines.length && text.length <= 2 * most; i++)
    text += `${text && "\n"}L${i}: ${lines[i]}`;
  if (indexAfter(text, tokens) === text.length) return lines.length;
  const shown = (tokenizer ? tokenizedLength : estimatedLength)(
    firstCharacters(text, most),
    tokens,
    tokenizer!,
  );
  if (shown === undefined) return lines.length;
  const newlines = firstCharacters(text, shown).split("\n").length - 1;
  return Math.min(start + newlines + 1, lines.length);
}

/** Code points of the first `count` tokens, or undefined if there are no more than those. */
function tokenizedLength(text: string, count: number, tokenizer: ViewTokenizer): number | undefined {
  const ids = tokenizer.encode(text);
  if (ids.length <= count) return undefined;
  let length = 0;
  for (const id of ids.slice(0, count)) {
    const token = tokenizer.decode([id]);
    length += indexCount(token);
  }
  return length;
}

/** The same by a rule of thumb: six letters, three digits or one of anything else a token, with a space ahead of it. */
function estimatedLength(text: string, count: number): number | undefined {
  let length = 0;
  let tokens = 0;
  for (const [token] of text.matchAll(/ ?[a-z]{1,6}| ?\d{1,3}|\s+| ?[^\sa-z\d]/giu)) {
    if (tokens === count) return length;
    tokens++;
    length += indexCount(token);
  }
  return undefined;
}

function indexCount(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** Lines with their numbers. */
export function numbered(lines: readonly string[], start: number, end: number): string {
  return lines
    .slice(start, end)
    .map((line, i) => `L${start + i}: ${line}`)
    .join("\n");
}

const FIRST_PARTIAL_LINK = /^[^【】]*】/u;
const LINK = /【\d+†([^†】]+)(†[^†】]+)?】/gu;

/** Texts of links without what marks them; newlines stay, so that lines keep their numbers. */
export function withoutLinks(text: string): string {
  return text
    .replace(FIRST_PARTIAL_LINK, "")
    .replace(LINK, (_match, content: string, domain = "") => content + domain.replace(/[^\n]+/g, ""));
}

/** The page of places where `pattern` stands in a page, case aside. The reference: `run_find_in_page`. */
export function findPage(pattern: string, page: Page): Page {
  const lines = withoutLinks(linesOf(page).join("\n")).split("\n");
  const sought = pattern.toLowerCase();
  const chunks: string[] = [];
  const links: { url: string; page: Page; line: number }[] = [];
  for (let line = 0; line < lines.length && links.length < MAX_FINDS; line++) {
    if (!lines[line]!.toLowerCase().includes(sought)) continue;
    const snippet = lines.slice(line, line + LINES_PER_FIND).join("\n");
    chunks.push(`# 【${links.length}†match at L${line}】\n${snippet}`);
    links.push({ url: page.url, page, line });
    line += LINES_PER_FIND - 1;
  }
  return {
    url: `${page.url}/find?pattern=${quote(sought)}`,
    title: `Find results for text: \`${sought}\` in \`${page.title}\``,
    text: chunks.length > 0 ? chunks.join("\n\n") : `No \`find\` results for pattern: \`${sought}\``,
    origin: page.origin ?? page.url,
    links,
    isFindResult: true,
  };
}
