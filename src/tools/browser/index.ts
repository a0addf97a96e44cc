export type { BrowserBackend, FetchedPage, FetchOptions, SearchOptions } from "./backend.ts";
export { type BrowserOptions, type BrowserTool, browserTool } from "./browser.ts";
export {
  type Citation,
  type CitationStream,
  type CitedText,
  citationStream,
  resolveCitations,
} from "./citations.ts";
export type { SearchHit } from "./page.ts";
export type { ViewTokenizer } from "./view.ts";
