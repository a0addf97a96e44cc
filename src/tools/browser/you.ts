import { checkUrl } from "./address.ts";
import { arrayIn, type BrowserBackend, hitFrom, objectIn } from "./backend.ts";
import { requestJson } from "./json-request.ts";

export interface YouOptions {
  readonly apiKey: string;
  /** `https://ydc-index.io` if left out. */
  readonly url?: string;
}

/** Searches and reads with You.com (https://you.com/docs/api-reference), as `YouComBackend` of the reference does. */
export function you({ apiKey, url = "https://ydc-index.io" }: YouOptions): BrowserBackend {
  const headers = { "x-api-key": apiKey };
  return {
    name: "web",
    async search(query, { topn, signal }) {
      const endpoint = new URL("/v1/search", url);
      endpoint.searchParams.set("query", query);
      endpoint.searchParams.set("count", String(topn));
      const answer = objectIn(
        await requestJson(endpoint, { service: "You.com", headers, signal }),
        "You.com",
      );
      const { web, news } = objectIn(answer["results"], "You.com") as Record<string, unknown>;
      const hits = [...arrayIn(web), ...arrayIn(news)].flatMap((result) => {
        const { url, title, snippets, description } = objectIn(result, "You.com") as Record<string, unknown>;
        return hitFrom(url, title, snippets ?? description);
      });
      return hits.slice(0, topn);
    },
    async fetch(address, { signal }) {
      await checkUrl(address, false);
      const body = { urls: [address], formats: ["html"] };
      const request = { service: "You.com", headers, body, signal };
      const [result] = arrayIn(await requestJson(new URL("/v1/contents", url), request));
      if (result === undefined) throw new Error(`No contents returned for ${address}`);
      const { html, title } = objectIn(result, "You.com") as Record<string, unknown>;
      if (typeof html !== "string") throw new Error(`No HTML returned for ${address}`);
      return { url: address, content: html, kind: "html", ...(typeof title === "string" && { title }) };
    },
  };
}
