/** A string of one character (U+0000 to U+00FF) for each byte: in JavaScript, the cheapest map key that bytes have. */
export type ByteString = string;

/** UTF-8 of a text, as a byte string; a lone surrogate becomes U+FFFD, as TextEncoder makes it. */
export function utf8(text: string): ByteString {
  let ascii = true;
  for (let i = 0; i < text.length && ascii; i++) ascii = text.charCodeAt(i) < 0x80;
  if (ascii) return text;
  return text.length < 64 ? utf8ByHand(text) : toByteString(new TextEncoder().encode(text));
}

// For the few characters of a word, crossing over into TextEncoder costs more than the work itself.
function utf8ByHand(text: string): ByteString {
  let out = "";
  for (const char of text) {
    let code = char.codePointAt(0) ?? 0;
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) out += char;
    else if (code < 0x800) out += String.fromCharCode(0xc0 | (code >> 6), tail(code));
    else if (code < 0x10000) out += String.fromCharCode(0xe0 | (code >> 12), tail(code >> 6), tail(code));
    else out += String.fromCharCode(0xf0 | (code >> 18), tail(code >> 12), tail(code >> 6), tail(code));
  }
  return out;
}

function tail(bits: number): number {
  return 0x80 | (bits & 0x3f);
}

function toByteString(bytes: Uint8Array): ByteString {
  let out = "";
  // In slices, since each byte becomes one argument of the call; a spread takes eight times as long.
  for (let i = 0; i < bytes.length; i += 4096) {
    const slice = bytes.subarray(i, i + 4096) as unknown as number[];
    out += String.fromCharCode.apply(null, slice);
  }
  return out;
}

export function fromByteString(text: ByteString): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/**
 * The alphabet in which GPT-2's file formats write bytes: printable Latin-1 characters stand for themselves, the other
 * 68 bytes for U+0100 onwards, in order. So a space is Ġ (U+0120) and a newline is Ċ (U+010A).
 *
 * Source of the rule: `bytes_to_unicode` in openai/gpt-2, encoder.py.
 */
const printable = /[!-~¡-¬®-ÿ]/;
/** The letters, by byte. */
export const BYTE_LETTERS: readonly string[] = (() => {
  let others = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const letter = String.fromCharCode(byte);
    return printable.test(letter) ? letter : String.fromCharCode(others++);
  });
})();
const byteOfLetter: ReadonlyMap<number, number> = new Map(
  BYTE_LETTERS.map((letter, byte) => [letter.charCodeAt(0), byte]),
);

/** Bytes of a token written in GPT-2's alphabet, or undefined if it holds a character outside of it. */
export function fromLetters(letters: string): ByteString | undefined {
  let out = "";
  for (let i = 0; i < letters.length; i++) {
    const byte = byteOfLetter.get(letters.charCodeAt(i));
    if (byte === undefined) return undefined;
    out += String.fromCharCode(byte);
  }
  return out;
}
