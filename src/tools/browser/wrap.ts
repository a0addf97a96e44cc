import { indexAfter, WORD } from "./python.ts";

const WIDTH = 80;
const SPACE = "\\t\\n\\v\\f\\r ";
const PUNCTUATED = `[${WORD}!"'&.,?]`;
const LETTER = "[\\p{L}\\p{Nl}\\p{No}_]";

/** `TextWrapper.wordsep_re` of Python 3.12: spaces, words and the parts of hyphenated words. */
const CHUNK = new RegExp(
  `[${SPACE}]+|(?<=${PUNCTUATED})-{2,}(?=[${WORD}])|` +
    `[^${SPACE}]+?(?:-(?:(?<=${LETTER}{2}-)|(?<=${LETTER}-${LETTER}-))(?=${LETTER}-?${LETTER})` +
    `|(?=[${SPACE}]|$)|(?<=${PUNCTUATED})(?=-{2,}[${WORD}]))`,
  "gu",
);

/**
 * Lines of at most 80 code points, as the model is shown them and cites them by number: Python's `textwrap.wrap` with white
 * space kept, for each line of the text. Takes time linear in the text.
 */
export function wrapLines(text: string): string[] {
  return text.split("\n").flatMap((line) => wrapLine(expandTabs(line)));
}

function wrapLine(line: string): string[] {
  if (indexAfter(line, WIDTH) === line.length) return [line];
  const lines: string[] = [];
  let current = "";
  let room = WIDTH;
  for (const [chunk] of line.matchAll(CHUNK)) {
    let rest = chunk;
    while (rest) {
      const length = lengthUpTo(rest, WIDTH + 1);
      if (length <= room) {
        current += rest;
        room -= length;
        break;
      }
      if (length > WIDTH) {
        const end = breakAt(rest, room);
        current += rest.slice(0, end);
        rest = rest.slice(end);
      }
      lines.push(current);
      current = "";
      room = WIDTH;
    }
  }
  if (current) lines.push(current);
  return lines;
}

/** Where a word too long for any line is broken: after the last hyphen that fits, or where the line is full. */
function breakAt(word: string, room: number): number {
  const end = indexAfter(word, room);
  const hyphen = word.slice(0, end).lastIndexOf("-");
  return hyphen > 0 && /[^-]/.test(word.slice(0, hyphen)) ? hyphen + 1 : end;
}

function lengthUpTo(text: string, most: number): number {
  if (text.length <= 1) return text.length;
  let length = 0;
  for (let i = 0; i < text.length && length < most; length++) i += text.codePointAt(i)! > 0xffff ? 2 : 1;
  return length;
}

/** `str.expandtabs(8)`. */
function expandTabs(line: string): string {
  if (!line.includes("\t")) return line;
  let column = 0;
  return line.replace(/\t|\r|[^\t\r]+/gu, (part) => {
    if (part === "\r") {
      column = 0;
      return part;
    }
    if (part !== "\t") {
      column += lengthUpTo(part, part.length);
      return part;
    }
    const spaces = 8 - (column % 8);
    column += spaces;
    return " ".repeat(spaces);
  });
}
