import { type AllowPrivate, checkUrl, isAllowed } from "./address.ts";
import type { FetchedPage } from "./backend.ts";
import { decodeText } from "./charset.ts";

/** How pages are fetched from the web. */
export interface WebOptions {
  /** Lets private and local addresses and all ports through: `true`, or the hosts of an intranet, such as `wiki.corp:8000`. */
  readonly allowPrivate?: AllowPrivate;
  /** For one page in all; 30,000 if left out. */
  readonly timeoutMs?: number;
  /** Most bytes of one page, once unpacked; 8 MiB if left out. */
  readonly maxBytes?: number;
  /** 5 if left out. */
  readonly maxRedirects?: number;
}

/** One request, redirects not followed where that can be helped. */
export type Transport = (
  url: URL,
  options: {
    readonly headers: Readonly<Record<string, string>>;
    readonly allowPrivate: boolean;
    readonly signal: AbortSignal;
  },
) => Promise<{
  readonly url: URL;
  readonly status: number;
  /** By name in small letters. */
  header(name: string): string | undefined;
  readonly body: AsyncIterable<Uint8Array>;
  close(): void;
}>;

export const USER_AGENT = "gpt-oss-ts";

const HTML = new Set(["text/html", "application/xhtml+xml"]);
const TEXT = /^text\/|^application\/(?:json|xml|javascript|yaml|x-ndjson|[\w.-]+\+(?:json|xml))$/;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/**
 * A page from the web, by plain GET without cookies. In Node.js, Deno and Bun every redirect and every resolved address is
 * checked, and the connection goes to a checked address; a browser's `fetch` lets neither be seen, and there the browser's own
 * rules (CORS) hold instead. Rejects with an Error for the model.
 */
export async function fetchWebPage(
  address: string,
  { allowPrivate = false, timeoutMs = 30_000, maxBytes = 8 << 20, maxRedirects = 5 }: WebOptions,
  caller: AbortSignal,
): Promise<FetchedPage> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([caller, timeout]);
  const transport = await transportHere();
  try {
    let url = await checkUrl(address, allowPrivate);
    for (let redirects = 0; ; redirects++) {
      const headers = {
        accept: "text/html, text/*;q=0.8, */*;q=0.1",
        "accept-encoding": "gzip, br",
        "user-agent": USER_AGENT,
      };
      const response = await transport(url, { headers, allowPrivate: isAllowed(url, allowPrivate), signal });
      try {
        const location = response.header("location");
        if (!REDIRECTS.has(response.status) || location === undefined)
          return await pageFrom(response, maxBytes);
        if (redirects === maxRedirects) throw new Error(`more than ${maxRedirects} redirects`);
        url = await checkUrl(new URL(location, url).href, allowPrivate);
      } finally {
        response.close();
      }
    }
  } catch (error) {
    caller.throwIfAborted();
    if (timeout.aborted) throw new Error(`no answer within ${timeoutMs / 1000} seconds`);
    throw error;
  }
}

async function pageFrom(response: Awaited<ReturnType<Transport>>, maxBytes: number): Promise<FetchedPage> {
  if (response.status < 200 || response.status > 299) throw new Error(`HTTP status ${response.status}`);
  const contentType = response.header("content-type") ?? "";
  const type = contentType.split(";")[0]!.trim().toLowerCase();
  if (type === "application/pdf") throw new Error("the page is a PDF, which this browser can't read");
  if (type && !HTML.has(type) && !TEXT.test(type)) {
    throw new Error(`the page is of type ${type.slice(0, 80)}, which this browser can't read`);
  }
  const charset = /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType)?.[1];
  const content = decodeText(await readAll(response.body, maxBytes), charset);
  const isHtml = type ? HTML.has(type) : /^\s*<(?:!doctype|html|head|body|!--)/i.test(content.slice(0, 1024));
  if (!isHtml && content.slice(0, 1024).includes("\0")) throw new Error("the page is no text");
  return { url: response.url.href, content, kind: isHtml ? "html" : "text" };
}

/** All bytes of a body. Throws as soon as they are too many. */
export async function readAll(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`the page is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

async function transportHere(): Promise<Transport> {
  // Deno and Bun have it too
  if (globalThis.process?.versions?.node) return (await import("./http-node.ts")).nodeTransport;
  return fetchTransport;
}

const fetchTransport: Transport = async (url, { headers: { accept }, signal }) => {
  const response = await fetch(url, {
    headers: { accept: accept! },
    credentials: "omit",
    referrerPolicy: "no-referrer",
    signal,
  });
  return {
    url: new URL(response.url),
    status: response.status,
    header: (name) => response.headers.get(name) ?? undefined,
    body: chunksOf(response.body),
    close: () => {},
  };
};

/** A stream's chunks, in browsers whose streams aren't iterable too. */
export async function* chunksOf(stream: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array> {
  const reader = stream?.getReader();
  if (!reader) return;
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    await reader.cancel().catch(() => {});
  }
}
