import { unquote } from "./python.ts";

/** Where a citation stood, as OpenAI's `url_citation` annotations say it. */
export interface Citation {
  /** Of the replacement in the new text, in UTF-16 units. */
  readonly start: number;
  readonly end: number;
  readonly url: string;
  /** The domain. */
  readonly title: string;
  readonly cursor: number;
  /** The first and last line cited, as the page numbers them. */
  readonly lines?: readonly [number, number];
}

export interface CitedText {
  readonly text: string;
  readonly citations: readonly Citation[];
}

/** Takes an answer piece by piece; the pieces that come out join to the text that `resolveCitations` gives of the whole. */
export interface CitationStream {
  /** Text that can be shown; what may become a citation waits. Places count from the beginning of the answer. */
  push(text: string): CitedText;
  /** What waits when the answer ends. */
  end(): CitedText;
}

/** Longer than this nothing is a citation: what opens like one mustn't hold up the rest of the answer. */
const LONGEST = 256;
const CITATION = /【(\d{1,9})†([^†】]{1,240})(?:†[^†】]{1,240})?】/gu;
const PARTIAL = /【(?:\d{1,9}(?:†[^†】]{0,240}(?:†[^†】]{0,240})?)?)?$/u;

/**
 * Puts ` ([domain](url)) ` in the place of each citation such as `【3†L4-L7】`. Cursors without a page stay as they are.
 * The reference: `normalize_citations`; `urls` holds the addresses by cursor.
 */
export function resolveCitations(text: string, urls: readonly string[]): CitedText {
  return resolve(text, urls, 0);
}

/** The same while the answer is being written. `urls` may grow meanwhile. */
export function citationStream(urls: () => readonly string[]): CitationStream {
  let waiting = "";
  let written = 0;
  const write = (text: string): CitedText => {
    const cited = resolve(text, urls(), written);
    written += cited.text.length;
    return cited;
  };
  return {
    push(text) {
      waiting += text;
      const tail = waiting.slice(-LONGEST);
      const partial = PARTIAL.exec(tail);
      const ready = partial ? waiting.length - tail.length + partial.index : waiting.length;
      const cited = write(waiting.slice(0, ready));
      waiting = waiting.slice(ready);
      return cited;
    },
    end() {
      const cited = write(waiting);
      waiting = "";
      written = 0;
      return cited;
    },
  };
}

function resolve(text: string, urls: readonly string[], offset: number): CitedText {
  const citations: Citation[] = [];
  let result = "";
  let last = 0;
  for (const match of text.matchAll(CITATION)) {
    const cursor = /^(?:0|[1-9]\d*)$/.test(match[1]!) ? Number(match[1]) : -1;
    const url = match[0].length <= LONGEST ? urls[cursor] : undefined;
    if (!url) continue;
    result += text.slice(last, match.index);
    last = match.index + match[0].length;
    const title = unquote(url).split("/")[2] ?? url;
    const replacement = ` ([${title}](${url})) `;
    const start = offset + result.length;
    const lines = /^L(\d{1,9})(?:-L(\d{1,9}))?$/.exec(match[2]!);
    citations.push({
      start,
      end: start + replacement.length,
      url,
      title,
      cursor,
      ...(lines && { lines: [Number(lines[1]), Number(lines[2] ?? lines[1])] as const }),
    });
    result += replacement;
  }
  return { text: result + text.slice(last), citations };
}
