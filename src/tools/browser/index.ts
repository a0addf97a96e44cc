export type { BrowserBackend, FetchedPage, FetchOptions, SearchOptions } from "./backend.ts";
export { type BrowserOptions, type BrowserTool, browserTool } from "./browser.ts";
export {
  type Citation,
  type CitationStream,
  type CitedText,
  citationStream,
  resolveCitations,
} from "./citations.ts";
export { backendFromEnvironment } from "./environment.ts";
export { type ExaOptions, exa } from "./exa.ts";
export { type LocalPage, localWeb } from "./local-web.ts";
export type { SearchHit } from "./page.ts";
export { type SearxngOptions, searxng } from "./searxng.ts";
export type { ViewTokenizer } from "./view.ts";
export { fetchWebPage, type WebOptions } from "./web.ts";
export { type YouOptions, you } from "./you.ts";
