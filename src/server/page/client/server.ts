import { EventSourceParserStream } from "eventsource-parser/stream";
import type { ResponseEvent } from "./turn.ts";

/** What the server said no to, in words for people. */
export class Problem extends Error {
  /** Whether the server asks for an API key, or for another one. */
  readonly needsKey: boolean;

  constructor(message: string, needsKey = false) {
    super(message);
    this.needsKey = needsKey;
  }
}

export interface Served {
  readonly model: string;
  /** Tools that the server would run, such as `python`. */
  readonly tools: readonly string[];
}

/** @throws Problem */
export async function askWhatIsServed(key: string | undefined): Promise<Served> {
  const response = await request("v1/models", key);
  const { data } = (await response.json()) as { data: { id: string; tools?: string[] }[] };
  const [first] = data;
  if (!first) throw new Problem("The server has no model.");
  return { model: first.id, tools: first.tools ?? [] };
}

/**
 * The events of one response. Leaving the loop, or aborting the signal, closes the connection, and the server stops.
 *
 * @throws Problem, or the signal's reason
 */
export async function* respond(
  body: Readonly<Record<string, unknown>>,
  key: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<ResponseEvent, void, void> {
  const response = await request("v1/responses", key, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, store: false }),
    signal,
  });
  const events = response
    .body!.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array<ArrayBuffer>>)
    .pipeThrough(new EventSourceParserStream());
  let isOver = false;
  try {
    for await (const { data } of events) {
      if (data === "[DONE]") break;
      const event = JSON.parse(data) as ResponseEvent;
      isOver ||= /^(?:error|response\.(?:completed|incomplete|failed|cancelled))$/.test(event.type);
      yield event;
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof TypeError)) throw error;
  }
  signal.throwIfAborted();
  if (!isOver) throw new Problem("The connection to the server broke in the middle of the answer.");
}

async function request(path: string, key: string | undefined, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key !== undefined) headers.set("authorization", `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers });
  } catch {
    init.signal?.throwIfAborted();
    throw new Problem("The server can't be reached. Is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401) throw new Problem(key === undefined ? ASKS_FOR_KEY : REFUSES_KEY, true);
  throw problemOf(response.status, response.headers.get("retry-after"), await messageOf(response));
}

const ASKS_FOR_KEY = "This server asks for an API key. Enter the one that you were given.";
const REFUSES_KEY = "The server doesn't accept this API key. Check it, and enter it again.";

async function messageOf(response: Response): Promise<string> {
  try {
    const { error } = (await response.json()) as { error: { message: string } };
    return String(error.message);
  } catch {
    return `The server answered with status ${response.status}.`;
  }
}

function problemOf(status: number, retryAfter: string | null, message: string): Problem {
  if (status === 429 || status === 503) {
    const when = retryAfter && /^\d+$/.test(retryAfter) ? `in ${retryAfter} s` : "in a moment";
    return new Problem(`The server is busy. Try again ${when}.`);
  }
  if (status >= 500) return new Problem(`Something went wrong in the server: ${message}`);
  return new Problem(message);
}
