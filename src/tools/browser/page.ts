import { unforged } from "./brackets.ts";
import { treeText } from "./html-text.ts";
import { descendants, type HtmlElement, parseHtml, texts } from "./html-tree.ts";
import { domainOf, joinUrl, mergeSpaces, truncate, wellFormed } from "./python.ts";

/** A page as the model reads it. */
export interface Page {
  /** Empty for search results, which have none. */
  readonly url: string;
  readonly title: string;
  readonly text: string;
  /** Where a reader finds it, if not at `url`, which may be one for the model alone. */
  readonly origin?: string;
  /** What `【{id}†…】` in the text leads to, by id. */
  readonly links: readonly Link[];
  /** The links are places where something was found. */
  readonly isFindResult?: boolean;
}

export interface Link {
  readonly url: string;
  /** The page itself, where it is at hand. */
  readonly page?: Page;
  /** The line that matters there. */
  readonly line?: number;
}

/** A hit of a search. */
export interface SearchHit {
  readonly url: string;
  /** Plain text, as is the summary. */
  readonly title: string;
  readonly summary: string;
}

/** Longest text of a page, in characters; the rest is cut off. */
export const MAX_TEXT = 1_000_000;
/** Longest page that is read, in characters. */
const MAX_SOURCE = 4_000_000;
const MAX_LINK = 8192;
const MAX_TITLE = 8192;

/** What the reference does to the source of a page. */
function plain(text: string): string {
  return unforged(text)
    .replaceAll("◼", "◾")
    .replaceAll("\u200b", "")
    .replace(/[\u{10000}-\u{1FFFF}]/gu, "");
}

/** A page of HTML; `title` goes before the page's own. The reference: `process_html` in simple_browser/page_contents.py. */
export async function htmlPage(html: string, url: string, title?: string): Promise<Page> {
  const root = await parseHtml(plain(html.slice(0, MAX_SOURCE)));
  if (root.children.length === 0) throw new Error("Document is empty");
  const ownTitle = title ? unforged(title) : titleOf(root);
  const links = markLinks(root, url);
  markImages(root);
  return {
    url,
    title: truncate(ownTitle ?? hostOf(url), MAX_TITLE),
    text: cut(`\nURL: ${unforged(url)}\n${treeText(root, MAX_TEXT)}`),
    links,
  };
}

/** A page that is no HTML. */
export function textPage(text: string, url: string, title?: string): Page {
  const lines = plain(text.slice(0, MAX_SOURCE)).replace(/\r\n?/g, "\n");
  return {
    url,
    title: truncate(unforged(title || hostOf(url)), MAX_TITLE),
    text: cut(`\nURL: ${unforged(url)}\n${lines}`),
    links: [],
  };
}

/** Hits of a search as a page of links. */
export async function searchPage(query: string, hits: readonly SearchHit[]): Promise<Page> {
  const items = hits.map(
    ({ url, title, summary }) =>
      `<li><a href='${escapeHtml(url)}'>${escapeHtml(title || url)}</a> ${escapeHtml(summary)}</li>`,
  );
  const html = `\n<html><body>\n<h1>Search Results</h1>\n<ul>\n${items.join("")}\n</ul>\n</body></html>\n`;
  // brackets in the model's own words forge nothing
  return { ...(await htmlPage(html, "")), title: query };
}

function cut(text: string): string {
  return text.length <= MAX_TEXT
    ? text
    : `${wellFormed(text.slice(0, MAX_TEXT))}\n[The page is longer than this.]`;
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>'"]/g, (char) => `&#${char.charCodeAt(0)};`);
}

/** The text of the first `<title>`, up to the first tag in it. */
function titleOf(root: HtmlElement): string | undefined {
  for (const { element } of descendants(root)) {
    if (element.name !== "title") continue;
    const end = element.children.findIndex((child) => typeof child !== "string");
    return element.children.slice(0, end < 0 ? undefined : end).join("");
  }
  return undefined;
}

/** Replaces links by `【{id}†{text}】`, with the domain where it is another one; returns where they lead. */
function markLinks(root: HtmlElement, pageUrl: string): Link[] {
  const ownDomain = hostOf(pageUrl);
  const ids = new Map<string, number>();
  for (const visit of descendants(root)) {
    const { element, parent, index } = visit;
    const href = element.name === "a" ? element.attributes.get("href") : undefined;
    if (href === undefined || href.length > MAX_LINK || /^(?:mailto|javascript):/.test(href)) continue;
    const text = mergeSpaces(texts(element).join(" ")).replaceAll("†", "‡");
    if (!text) {
      // nor will links inside have any text
      visit.isDone = true;
      continue;
    }
    if (href.startsWith("#")) {
      parent.children[index] = text;
      continue;
    }
    let link: string;
    let domain: string;
    try {
      link = joinUrl(pageUrl, href);
      domain = domainOf(link);
    } catch {
      continue;
    }
    if (!domain) continue;
    link = link.replaceAll(/arxiv.org/g, "ar5iv.org");
    const id = ids.get(link) ?? ids.size;
    ids.set(link, id);
    parent.children[index] =
      domain === ownDomain ? `【${id}†${text}】` : `【${id}†${text}†${unforged(domain)}】`;
  }
  return Array.from(ids.keys(), (url) => ({ url }));
}

function hostOf(url: string): string {
  try {
    return domainOf(url);
  } catch {
    return "";
  }
}

/** Numbers images, and takes out formulas in MathML, which read as nonsense without their layout. */
function markImages(root: HtmlElement): void {
  let count = 0;
  for (const { element, parent, index } of descendants(root)) {
    if (element.name === "math") parent.children[index] = "";
    if (element.name !== "img") continue;
    const name = element.attributes.get("alt") ?? element.attributes.get("title");
    parent.children[index] = name ? `[Image ${count}: ${name}]` : `[Image ${count}]`;
    count++;
  }
}
