import type { SearchHit } from "./page.ts";

/** Where a browser tool searches and reads: a search engine's API, the open web, a folder of pages. */
export interface BrowserBackend {
  /** As the model is told of it, after `sources=`: `web`. */
  readonly name: string;
  /** At most `topn` hits, best first. Rejects with an Error whose message the model reads. */
  search(query: string, options: SearchOptions): Promise<readonly SearchHit[]>;
  /** One page. Rejects with an Error whose message the model reads. */
  fetch(url: string, options: FetchOptions): Promise<FetchedPage>;
}

export interface SearchOptions {
  readonly topn: number;
  readonly signal: AbortSignal;
}

export interface FetchOptions {
  readonly signal: AbortSignal;
}

export interface FetchedPage {
  /** Where the page was in the end; links in it are relative to this. */
  readonly url: string;
  readonly content: string;
  readonly kind: "html" | "text";
  /** In place of the page's own. */
  readonly title?: string;
}

/** The object in a back end's JSON answer. Throws an Error for the model if there is none. */
export function objectIn(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) throw new Error(`${where} answered something unexpected`);
  return value as Readonly<Record<string, unknown>>;
}

/** The array in a back end's JSON answer; a missing one is empty. */
export function arrayIn(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A hit from fields of a JSON answer, or none where its address is no web page. */
export function hitFrom(url: unknown, title: unknown, summary: unknown): SearchHit[] {
  if (typeof url !== "string" || !/^https?:\/\//i.test(url)) return [];
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  return [
    {
      url,
      title: text(title),
      summary: Array.isArray(summary) ? summary.map(text).join(" ") : text(summary),
    },
  ];
}
