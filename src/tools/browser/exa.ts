import { checkUrl } from "./address.ts";
import { arrayIn, type BrowserBackend, hitFrom, objectIn } from "./backend.ts";
import { requestJson } from "./json-request.ts";

export interface ExaOptions {
  readonly apiKey: string;
  /** `https://api.exa.ai` if left out. */
  readonly url?: string;
}

/** Searches and reads with Exa (https://docs.exa.ai), as `ExaBackend` of the reference does. */
export function exa({ apiKey, url = "https://api.exa.ai" }: ExaOptions): BrowserBackend {
  const post = async (path: string, body: unknown, signal: AbortSignal) => {
    const request = { service: "Exa", headers: { "x-api-key": apiKey }, body, signal };
    return objectIn(await requestJson(new URL(path, url), request), "Exa");
  };
  return {
    name: "web",
    async search(query, { topn, signal }) {
      const answer = await post("/search", { query, numResults: topn, contents: { summary: true } }, signal);
      return arrayIn(answer["results"]).flatMap((result) => {
        const { url, title, summary } = objectIn(result, "Exa") as Record<string, unknown>;
        return hitFrom(url, title, summary);
      });
    },
    async fetch(address, { signal }) {
      await checkUrl(address, false);
      const answer = await post("/contents", { urls: [address], text: { includeHtmlTags: true } }, signal);
      const [result] = arrayIn(answer["results"]);
      if (result === undefined) throw new Error(`No contents returned for ${address}`);
      const { text, title } = objectIn(result, "Exa") as Record<string, unknown>;
      return {
        url: address,
        content: typeof text === "string" ? text : "",
        kind: "html",
        ...(typeof title === "string" && { title }),
      };
    },
  };
}
