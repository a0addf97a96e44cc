/** 0x80 to 0x9f of windows-1252: some versions of Node.js decode them as Latin-1. */
const WINDOWS_1252 = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";

/** Where HTML may name its charset, by the HTML standard. */
const PRESCAN = 1024;

/**
 * Bytes of a page as text. A byte order mark decides, then the header's charset, then the page's own; without any of them it
 * is UTF-8, or if it isn't, windows-1252. Charsets that don't exist are passed over.
 */
export function decodeText(bytes: Uint8Array, charset: string | undefined): string {
  const marked = byteOrderMark(bytes);
  for (const label of [marked, charset, marked ? undefined : ownCharset(bytes)]) {
    const decoder = label && decoderFor(label);
    if (decoder) return decoded(decoder, bytes);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return decoded(new TextDecoder("windows-1252"), bytes);
  }
}

function decoded(decoder: TextDecoder, bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  if (decoder.encoding !== "windows-1252") return text;
  return text.replace(/[\x80-\x9f]/g, (char) => WINDOWS_1252[char.charCodeAt(0) - 0x80]!);
}

function byteOrderMark([first, second, third]: Uint8Array): string | undefined {
  if (first === 0xef && second === 0xbb && third === 0xbf) return "utf-8";
  if (first === 0xfe && second === 0xff) return "utf-16be";
  if (first === 0xff && second === 0xfe) return "utf-16le";
  return undefined;
}

function ownCharset(bytes: Uint8Array): string | undefined {
  const head = String.fromCharCode(...bytes.subarray(0, PRESCAN));
  const label = /<meta[^>]{0,256}?charset\s*=\s*["']?([\w:.-]+)/i.exec(head)?.[1];
  // a page that could be read as ASCII so far isn't UTF-16
  return label && /^utf-?16/i.test(label) ? "utf-8" : label;
}

function decoderFor(label: string): TextDecoder | undefined {
  try {
    return new TextDecoder(label);
  } catch {
    return undefined;
  }
}
