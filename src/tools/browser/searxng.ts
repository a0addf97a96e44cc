import { arrayIn, type BrowserBackend, hitFrom, objectIn } from "./backend.ts";
import { requestJson } from "./json-request.ts";
import { fetchWebPage, type WebOptions } from "./web.ts";

export interface SearxngOptions extends WebOptions {
  /** Of the instance, such as `http://localhost:8888`; its settings must allow the format `json`. */
  readonly url: string;
}

/** Searches with a SearXNG instance (https://docs.searxng.org/dev/search_api.html) and reads pages from the web itself. */
export function searxng({ url, ...web }: SearxngOptions): BrowserBackend {
  return {
    name: "web",
    async search(query, { topn, signal }) {
      const endpoint = new URL("search", url.endsWith("/") ? url : `${url}/`);
      endpoint.searchParams.set("q", query);
      endpoint.searchParams.set("format", "json");
      const answer = objectIn(await requestJson(endpoint, { service: "SearXNG", signal }), "SearXNG");
      const hits = arrayIn(answer["results"]).flatMap((result) => {
        const { url, title, content } = objectIn(result, "SearXNG") as Record<string, unknown>;
        return hitFrom(url, title, content);
      });
      return hits.slice(0, topn);
    },
    fetch: (address, { signal }) => fetchWebPage(address, web, signal),
  };
}
