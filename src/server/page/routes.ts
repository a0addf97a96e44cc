import { readFile } from "node:fs/promises";
import { Hono } from "hono";
import type { ServerEnv } from "../context.ts";

/** Made by `npm run build` from `client/`, wherever this module itself runs. */
const FOLDER = new URL("../../../dist/server/page/client/", import.meta.url);
const FILES: Readonly<Record<string, string>> = {
  "index.html": "text/html; charset=utf-8",
  "main.js": "text/javascript; charset=utf-8",
  "style.css": "text/css; charset=utf-8",
  "icon.svg": "image/svg+xml",
};

/** The page speaks with its own server and runs its own script; whatever a model writes, the browser loads nothing else. */
const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
  ].join("; "),
  "cross-origin-opener-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "cache-control": "no-cache",
};

/** The chat page at `/`, and its files beside it. */
export function pageRoutes(): Hono<ServerEnv> {
  const app = new Hono<ServerEnv>();
  for (const [name, type] of Object.entries(FILES)) {
    app.get(name === "index.html" ? "/" : `/${name}`, async (c) => {
      const body = await readFile(new URL(name, FOLDER));
      return c.body(new Uint8Array(body), 200, { ...HEADERS, "content-type": type });
    });
  }
  return app;
}
