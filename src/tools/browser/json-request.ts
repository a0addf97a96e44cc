import { chunksOf, readAll, USER_AGENT } from "./web.ts";

/** Longest answer of a search engine's API, in bytes. */
const MAX_ANSWER = 16 << 20;

export interface JsonRequest {
  /** The service, for errors. */
  readonly service: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent by POST; without it the request is a GET. */
  readonly body?: unknown;
  readonly signal: AbortSignal;
}

/** The JSON that a service answers. Rejects with an Error for the model, which tells of neither keys nor headers. */
export async function requestJson(
  url: URL,
  { service, headers, body, signal }: JsonRequest,
): Promise<unknown> {
  const response = await fetch(url, {
    method: body === undefined ? "GET" : "POST",
    headers: {
      accept: "application/json",
      "user-agent": USER_AGENT,
      ...(body !== undefined && { "content-type": "application/json" }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    // a key must not follow to another host
    redirect: headers ? "error" : "follow",
    credentials: "omit",
    signal,
  });
  const text = new TextDecoder().decode(await readAll(chunksOf(response.body), MAX_ANSWER));
  if (!response.ok) throw new Error(`${service} error ${response.status}: ${text.slice(0, 300)}`);
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${service} answered something other than JSON`);
  }
}
