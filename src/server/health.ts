import { Hono } from "hono";
import type { ServerContext, ServerEnv } from "./context.ts";

/** Whether requests are taken: 200, or 503 while the server shuts down. */
export function healthRoutes({ admission }: ServerContext): Hono<ServerEnv> {
  return new Hono<ServerEnv>().get("/health", (c) => {
    const { isClosing, running, queued } = admission;
    return c.json({ status: isClosing ? "closing" : "ok", running, queued }, isClosing ? 503 : 200);
  });
}
