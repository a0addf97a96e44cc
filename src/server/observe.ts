import type { MiddlewareHandler } from "hono";
import { createMiddleware } from "hono/factory";
import { routePath } from "hono/route";
import type { RequestInfo, ServerContext, ServerEnv } from "./context.ts";

/** Gives each request an id, and tells log and metrics of it once it is answered: of a stream, when that has ended. */
export function observe(context: ServerContext): MiddlewareHandler<ServerEnv> {
  return createMiddleware<ServerEnv>(async (c, next) => {
    const start = performance.now();
    const abort = new AbortController();
    const unfollow = follow(c.req.raw.signal, abort);
    const info: RequestInfo = {
      id: context.newId("req_"),
      client: "",
      owner: "",
      abort,
      start,
      tokens: { prompt: 0, cached: 0, generated: 0 },
      done: () => {},
    };
    c.set("info", info);
    await next();
    c.header("x-request-id", info.id);
    c.header("x-content-type-options", "nosniff");
    const { method, path } = c.req;
    const { status } = c.res;
    const report = (): void => {
      unfollow();
      const { prompt, cached, generated } = info.tokens;
      const route = status === 404 ? "unknown" : routePath(c, -1);
      context.metrics.requests.inc({ route, status });
      const counts = prompt > 0 ? ` ${prompt} (${cached} cached) + ${generated} tokens` : "";
      const ms = Math.round(performance.now() - start);
      context.logger.info(`${info.id} ${method} ${loggable(path)} ${status} ${ms} ms${counts}`);
    };
    const isStream = c.res.headers.get("content-type")?.startsWith("text/event-stream");
    if (isStream) info.done = report;
    else report();
  });
}

/**
 * Has the signal abort the controller, until the function returned is called. A closure apart, which doesn't know the request: Node
 * keeps the listeners of a Request's signal until the Request is collected, and would keep both for ever.
 */
function follow(signal: AbortSignal, controller: AbortController): () => void {
  const abort = (): void => controller.abort(new DOMException("the client is gone", "AbortError"));
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  return () => signal.removeEventListener("abort", abort);
}

/** A path is the client's to choose: no line breaks, no end of lines. */
function loggable(path: string): string {
  return path.slice(0, 200).replace(/[^\x21-\x7e]/g, "?");
}
