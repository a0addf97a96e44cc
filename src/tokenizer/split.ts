/**
 * The split pattern of o200k_base, which cuts text into the pieces that byte pair encoding then works on. These are
 * its alternatives, the first that matches wins:
 *
 *     word     [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
 *     WORD     [^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
 *     digits   \p{N}{1,3}
 *     symbols   ?[^\s\p{L}\p{N}]+[\r\n/]*
 *     newlines \s*[\r\n]+
 *     spaces   \s+(?!\S)
 *     space    \s+
 *
 * Written out as a scanner, since a JavaScript RegExp can't be trusted with it: `(?i:…)` is missing in older engines
 * and doesn't fold U+017F to s, `\s` differs from Unicode's White_Space at U+0085 and U+FEFF, and backtracking over a
 * run of some million letters overflows the engine's stack. The scanner takes time linear in the text.
 */
export const O200K_PATTERN: string = [
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
  "\\p{N}{1,3}",
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*",
  "\\s*[\\r\\n]+",
  "\\s+(?!\\S)",
  "\\s+",
].join("|");

// What a code point is to the pattern, as bits.
const HEAD = 1; // [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]
const TAIL = 2; // [\p{Ll}\p{Lm}\p{Lo}\p{M}]
const LETTER = 4; // \p{L}
const NUMBER = 8; // \p{N}
const SPACE = 16; // \p{White_Space}
const NEWLINE = 32; // [\r\n]
const KNOWN = 64; // so that 0 means "not looked up yet"

const kinds = new Uint8Array(0x110000);

function kind(codePoint: number): number {
  return kinds[codePoint] || lookUp(codePoint);
}

function lookUp(codePoint: number): number {
  const char = String.fromCodePoint(codePoint);
  let bits = KNOWN;
  if (/[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]/u.test(char)) bits |= HEAD;
  if (/[\p{Ll}\p{Lm}\p{Lo}\p{M}]/u.test(char)) bits |= TAIL;
  if (/\p{L}/u.test(char)) bits |= LETTER;
  if (/\p{N}/u.test(char)) bits |= NUMBER;
  if (/\p{White_Space}/u.test(char)) bits |= SPACE;
  if (/[\r\n]/.test(char)) bits |= NEWLINE;
  kinds[codePoint] = bits;
  return bits;
}

/**
 * End of the piece of `text` that starts at `start`, both in UTF-16 code units. Calling it again from each end cuts
 * the whole text; a lone surrogate counts as a symbol, like U+FFFD, which it is encoded as.
 */
export function pieceEnd(text: string, start: number): number {
  const first = at(text, start);
  const firstKind = kind(first);

  // One character that is no letter, number or newline may lead the word, often a space. A mark may too, but as the
  // word's own first character it gives the same piece.
  const leads = (firstKind & (HEAD | LETTER | NUMBER | NEWLINE)) === 0;
  const wordStart = leads ? start + width(first) : start;
  const end = lowerWordEnd(text, wordStart) || upperWordEnd(text, wordStart);
  if (end) return contractionEnd(text, end);

  if (firstKind & NUMBER) return digitsEnd(text, start);
  return symbolsEnd(text, start) || spacesEnd(text, start);
}

// [HEAD]*[TAIL]+, or 0 if it doesn't match. HEAD* is greedy, so when no lower-case letter follows the run of HEAD, it
// gives back as much as TAIL+ needs: up to the last character in the run that is both HEAD and TAIL.
function lowerWordEnd(text: string, start: number): number {
  let end = start;
  let lastBoth = 0;
  for (; end < text.length; end += width(at(text, end))) {
    const bits = kind(at(text, end));
    if ((bits & HEAD) === 0) break;
    if (bits & TAIL) lastBoth = end + width(at(text, end));
  }
  const tail = runEnd(text, end, TAIL);
  return tail > end ? tail : lastBoth;
}

// [HEAD]+[TAIL]*, or 0. Tried where lowerWordEnd has failed, so there is no TAIL anywhere.
function upperWordEnd(text: string, start: number): number {
  const end = runEnd(text, start, HEAD);
  return end > start ? end : 0;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)? where i folds as Unicode says, so that U+017F is an s.
function contractionEnd(text: string, start: number): number {
  if (text[start] !== "'") return start;
  if (/^[sSſtTmMdD]/.test(text[start + 1] ?? "")) return start + 2;
  return /^(?:[rRvV][eE]|[lL][lL])/.test(text.slice(start + 1, start + 3)) ? start + 3 : start;
}

function digitsEnd(text: string, start: number): number {
  let end = start;
  for (let count = 0; count < 3 && end < text.length && kind(at(text, end)) & NUMBER; count++) {
    end += width(at(text, end));
  }
  return end;
}

// ' ?[^\s\p{L}\p{N}]+[\r\n/]*', or 0.
function symbolsEnd(text: string, start: number): number {
  const from = text[start] === " " ? start + 1 : start;
  let end = from;
  while (end < text.length && (kind(at(text, end)) & (SPACE | LETTER | NUMBER)) === 0)
    end += width(at(text, end));
  if (end === from) return 0;
  while (text[end] === "\r" || text[end] === "\n" || text[end] === "/") end++;
  return end;
}

// The last three alternatives: up to the last newline in the run of white space; else all of it at the end of the
// text; else all but its last character, which leads the next piece; else that one character.
function spacesEnd(text: string, start: number): number {
  let end = start;
  let lastNewline = 0;
  for (; end < text.length; end++) {
    const bits = kind(text.charCodeAt(end)); // no white space lies beyond the BMP
    if ((bits & SPACE) === 0) break;
    if (bits & NEWLINE) lastNewline = end + 1;
  }
  if (lastNewline) return lastNewline;
  return end === text.length || end === start + 1 ? end : end - 1;
}

function runEnd(text: string, start: number, wanted: number): number {
  let end = start;
  while (end < text.length && kind(at(text, end)) & wanted) end += width(at(text, end));
  return end;
}

// A lone surrogate is its own code point here.
function at(text: string, index: number): number {
  return text.codePointAt(index) ?? 0;
}

function width(codePoint: number): number {
  return codePoint > 0xffff ? 2 : 1;
}
