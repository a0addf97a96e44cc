import { logFailure, type RequestInfo, type ServerContext } from "./context.ts";
import { type ApiError, toApiError } from "./errors.ts";

/** One event; `data` that isn't a string is sent as JSON. */
export interface ServerSentEvent {
  readonly event?: string;
  readonly data: unknown;
}

export interface StreamOptions {
  /** What to send for an error that comes once the stream has begun. */
  readonly onError: (error: ApiError) => Iterable<ServerSentEvent>;
  /** Silence after which a comment tells proxies and clients that the connection lives. Default 15. */
  readonly keepAliveSeconds?: number;
  /** Time that a client may take to read what waits for it. Default 60. */
  readonly stallSeconds?: number;
}

/** Bytes that may wait for a client before generation does. */
const HIGH_WATER_MARK = 64 * 1024;
const encoder: TextEncoder = new TextEncoder();

/**
 * Sends events as they come. A client that reads slowly slows them down; one that reads nothing any more, or goes away,
 * has its request aborted.
 */
export function sseResponse(
  info: Pick<RequestInfo, "abort" | "done">,
  events: AsyncIterable<ServerSentEvent>,
  { onError, keepAliveSeconds = 15, stallSeconds = 60 }: StreamOptions,
): Response {
  const iterator = events[Symbol.asyncIterator]();
  let keepAlive: ReturnType<typeof setInterval> | undefined;
  let stalled: ReturnType<typeof setTimeout> | undefined;
  let silent = true;
  let over = false;
  const end = (): void => {
    if (over) return;
    over = true;
    clearInterval(keepAlive);
    clearTimeout(stalled);
    info.done();
  };
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        keepAlive = setInterval(() => {
          if (silent && (controller.desiredSize ?? 0) > 0) controller.enqueue(encoder.encode(": alive\n\n"));
          silent = true;
        }, keepAliveSeconds * 1000);
      },
      async pull(controller) {
        clearTimeout(stalled);
        try {
          const { done, value } = await iterator.next();
          if (over) return;
          silent = false;
          if (!done) controller.enqueue(encoder.encode(eventText(value)));
          else {
            end();
            controller.close();
          }
        } catch (error) {
          if (over) return;
          for (const event of info.abort.signal.aborted ? [] : onError(toApiError(error)))
            controller.enqueue(encoder.encode(eventText(event)));
          end();
          controller.close();
        }
        if (!over && (controller.desiredSize ?? 1) <= 0)
          stalled = setTimeout(() => {
            controller.error(new Error("the client doesn't read"));
            giveUp();
          }, stallSeconds * 1000);
      },
      cancel: giveUp,
    },
    { highWaterMark: HIGH_WATER_MARK, size: (chunk) => chunk?.byteLength ?? 0 },
  );
  function giveUp(): void {
    end();
    info.abort.abort(new DOMException("the client is gone", "AbortError"));
    void Promise.resolve(iterator.return?.()).catch(() => {}); // it was told to stop
  }
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache",
      "x-accel-buffering": "no",
    },
  });
}

/** The wire form. JSON has no line breaks of its own; a string's are split over several data lines. */
export function eventText({ event, data }: ServerSentEvent): string {
  const lines = typeof data === "string" ? data.split(/\r\n|\r|\n/) : [JSON.stringify(data)];
  return `${event === undefined ? "" : `event: ${event}\n`}${lines.map((line) => `data: ${line}\n`).join("")}\n`;
}

/** A failed stream of completions ends in the error object, which OpenAI's clients raise. */
export function raisedByClients(context: ServerContext): StreamOptions {
  return {
    onError(error) {
      logFailure(context, error);
      return [{ data: error }];
    },
  };
}
