/*
 * What Python's `str`, `re` and `urllib.parse` mean by a space, a word, a link: the reference is written in them, and its
 * pages are what the model was trained to read.
 */

/** Inside a character class: what `\s` matches in Python. */
export const SPACE: string =
  "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
/** Inside a character class, with the flag u: what `\w` matches in Python. */
export const WORD: string = "\\p{L}\\p{N}_";

const SPACES = new RegExp(`[${SPACE}]+`, "gu");
const NO_SPACE = new RegExp(`[^${SPACE}]`, "u");
const TRAILING_SPACE = new RegExp(`[${SPACE}]`, "u");

/** All runs of white space as one space each. */
export const mergeSpaces = (text: string): string => text.replace(SPACES, " ");

/** `str.strip()`. */
export function strip(text: string): string {
  const start = text.search(NO_SPACE);
  if (start < 0) return "";
  let end = text.length;
  while (TRAILING_SPACE.test(text[end - 1]!)) end--;
  return text.slice(start, end);
}

/** `text[:count]`: Python counts code points. */
export function firstCharacters(text: string, count: number): string {
  return text.slice(0, indexAfter(text, count));
}

/** Where the first `count` code points end. */
export function indexAfter(text: string, count: number): number {
  let index = 0;
  for (let i = 0; i < count && index < text.length; i++) index += text.codePointAt(index)! > 0xffff ? 2 : 1;
  return index;
}

/** `maybe_truncate` of the reference. */
export function truncate(text: string, length = 1024): string {
  return indexAfter(text, length) < text.length ? `${firstCharacters(text, length - 3)}...` : text;
}

/** Halves of surrogate pairs become U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

/** `urllib.parse.quote`: everything but letters, digits and `_.-~/` as %XX of its UTF-8. */
export function quote(text: string): string {
  return encodeURIComponent(wellFormed(text))
    .replaceAll("%2F", "/")
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** `urllib.parse.unquote`: bytes that aren't UTF-8 become U+FFFD, and what is no %XX stays. */
export function unquote(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
    const bytes = Uint8Array.from(escapes.slice(1).split("%"), (hex) => Number.parseInt(hex, 16));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  });
}

interface UrlParts {
  scheme: string;
  /** Undefined where there is no `//`. */
  authority: string | undefined;
  path: string;
  query: string;
  fragment: string;
}

/** `urlsplit`; throws on what it refuses. */
function split(url: string): UrlParts {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what urlsplit strips
  let rest = url.replace(/^[\x00-\x20]+/, "").replace(/[\t\r\n]/g, "");
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(rest)?.[1] ?? "";
  if (scheme) rest = rest.slice(scheme.length + 1);
  let authority: string | undefined;
  if (rest.startsWith("//")) {
    const end = rest.slice(2).search(/[/?#]/);
    authority = end < 0 ? rest.slice(2) : rest.slice(2, 2 + end);
    rest = end < 0 ? "" : rest.slice(2 + end);
    if (authority.includes("[") !== authority.includes("]")) throw new RangeError("Invalid IPv6 URL");
  }
  const hash = rest.indexOf("#");
  const fragment = hash < 0 ? "" : rest.slice(hash + 1);
  if (hash >= 0) rest = rest.slice(0, hash);
  const mark = rest.indexOf("?");
  const query = mark < 0 ? "" : rest.slice(mark + 1);
  return {
    scheme: scheme.toLowerCase(),
    authority,
    path: mark < 0 ? rest : rest.slice(0, mark),
    query,
    fragment,
  };
}

function unsplit({ scheme, authority, path, query, fragment }: UrlParts): string {
  let url = path;
  if (authority) url = `//${authority}${path && !path.startsWith("/") ? "/" : ""}${path}`;
  if (scheme) url = `${scheme}:${url}`;
  if (query) url += `?${query}`;
  return fragment ? `${url}#${fragment}` : url;
}

/** Schemes whose links may be relative, of those that pages have. */
const RELATIVE = new Set(["", "ftp", "http", "https", "file"]);

/** `urllib.parse.urljoin`: unlike `URL`, it leaves the spelling of a link alone. Throws on what it refuses. */
export function joinUrl(base: string, link: string): string {
  if (!base) return link;
  if (!link) return base;
  const from = split(base);
  const to = split(link);
  if (!to.scheme) to.scheme = from.scheme;
  if (to.scheme !== from.scheme || !RELATIVE.has(to.scheme)) return link;
  if (to.authority) return unsplit(to);
  to.authority = from.authority;
  if (!to.path) {
    to.path = from.path;
    if (!to.query) to.query = from.query;
    return unsplit(to);
  }
  let segments = to.path.split("/");
  if (!to.path.startsWith("/")) {
    const folder = from.path.split("/");
    if (folder.at(-1) !== "") folder.pop();
    segments = [...folder, ...segments];
    segments = segments.filter((segment, i) => segment !== "" || i === 0 || i === segments.length - 1);
  }
  const path: string[] = [];
  for (const segment of segments) {
    if (segment === "..") path.pop();
    else if (segment !== ".") path.push(segment);
  }
  if (segments.at(-1) === "." || segments.at(-1) === "..") path.push("");
  to.path = path.join("/") || "/";
  return unsplit(to);
}

/** The host as a link spells it, with port and user; empty if there is none. Throws on what `urlparse` refuses. */
export function domainOf(url: string): string {
  return split(url.includes("http") ? url : `http://${url}`).authority ?? "";
}
