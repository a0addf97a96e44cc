import { GptOssError, UsageError } from "../../errors.ts";

/** A server that doesn't do what HTTP, JSON or the API ask of it. */
export class ServerError extends GptOssError {
  /** Of an answer that came, and refused. */
  readonly status: number | undefined;

  constructor(what: string, details: ConstructorParameters<typeof GptOssError>[1], status?: number) {
    super(what, details);
    this.status = status;
  }

  /** Whether the server says that it has no such route, field or feature; anything else is a failure. */
  get isRefusal(): boolean {
    return this.status !== undefined && [400, 404, 405, 415, 422, 501].includes(this.status);
  }
}

export interface ClientOptions {
  readonly apiKey?: string;
  /** Milliseconds for a whole exchange; default 120,000. */
  readonly timeout?: number;
  /** Bytes of an answer; default 16 MiB. */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
}

/**
 * Speaks JSON with a server that is being examined and hence isn't trusted: an answer has a limit in bytes and in time,
 * and redirections, which would take the key elsewhere, are errors.
 */
export class LiveClient {
  /** Without /v1 and without a slash at its end. */
  readonly base: string;
  readonly #options: ClientOptions;

  constructor(url: string, options: ClientOptions = {}) {
    const fail = (found: string): never => {
      const expected = "http://HOST:PORT, with or without /v1";
      throw new UsageError("not the address of a server", { expected, found });
    };
    const parsed = URL.canParse(url) ? new URL(url) : fail(url);
    if (!/^https?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.search !== "") fail(url);
    this.base = `${parsed.origin}${parsed.pathname}`.replace(/\/+$/, "").replace(/\/v1$/, "");
    this.#options = options;
  }

  get(path: string): Promise<unknown> {
    return this.#exchange(path, { method: "GET" });
  }

  /** @throws ServerError; see {@link ServerError.isRefusal} */
  post(path: string, body: unknown): Promise<unknown> {
    return this.#exchange(path, { method: "POST", body: JSON.stringify(body) });
  }

  async #exchange(path: string, init: RequestInit): Promise<unknown> {
    const { apiKey, timeout = 120_000, maxBytes = 2 ** 24, signal } = this.#options;
    const where = this.base + path;
    const timer = AbortSignal.timeout(timeout);
    const stop = new AbortController();
    const headers = { "content-type": "application/json", accept: "application/json" };
    try {
      const request: RequestInit = {
        ...init,
        headers: apiKey === undefined ? headers : { ...headers, authorization: `Bearer ${apiKey}` },
        redirect: "manual",
        signal: AbortSignal.any([timer, stop.signal, ...(signal ? [signal] : [])]),
      };
      const response = await fetch(where, request).catch((error: Error) => {
        // a connection that was kept, and that the server closed as we used it
        const { code } = (error.cause ?? {}) as { code?: unknown };
        if (code === "UND_ERR_SOCKET" || code === "ECONNRESET") return fetch(where, request);
        throw error;
      });
      if (response.status >= 300 && response.status < 400) {
        stop.abort();
        const found = response.headers.get("location") ?? `status ${response.status}`;
        throw new ServerError("the server redirects", {
          where,
          found,
          hint: "Give the address that it names.",
        });
      }
      const text = await readText(response, maxBytes, where, stop);
      if (response.ok) return parseJson(text, where);
      const found = `status ${response.status}, ${messageOf(text)}`;
      throw new ServerError("the server refuses", { where, found }, response.status);
    } catch (cause) {
      stop.abort();
      if (cause instanceof ServerError || signal?.aborted) throw cause;
      if (timer.aborted)
        throw new ServerError("the server takes too long", { where, expected: `${timeout / 1000} s`, cause });
      const reason = (cause as Error).cause ?? cause;
      throw new ServerError("can't speak with the server", {
        where,
        found: (reason as Error).message,
        cause,
      });
    }
  }
}

async function readText(
  response: Response,
  maxBytes: number,
  where: string,
  stop: AbortController,
): Promise<string> {
  const decoder = new TextDecoder();
  let bytes = 0;
  let text = "";
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      stop.abort();
      throw new ServerError("the server's answer is too long", {
        where,
        expected: `at most ${maxBytes} bytes`,
      });
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const isNan = /:\s*-?(NaN|Infinity)/.test(text.slice(0, 2 ** 20));
    const hint = isNan ? { hint: "It has NaN or Infinity, which JSON hasn't: look for an overflow." } : {};
    throw new ServerError("the server's answer is no JSON", {
      where,
      found: text.slice(0, 80),
      cause,
      ...hint,
    });
  }
}

/** The message of an error in any of the usual shapes. */
function messageOf(text: string): string {
  try {
    const json = JSON.parse(text);
    const message = json?.error?.message ?? json?.error ?? json?.message ?? json?.detail;
    return typeof message === "string" ? message : text.slice(0, 200);
  } catch {
    return text.slice(0, 200);
  }
}
