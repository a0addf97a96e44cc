import type { MiddlewareHandler } from "hono";
import { createMiddleware } from "hono/factory";
import type { ServerEnv } from "./context.ts";
import { ApiError } from "./errors.ts";

/** Who may use the server. */
export interface AccessOptions {
  /** Any of these opens /v1 and /metrics; with none, no key is asked for. */
  readonly keys: readonly string[];
  /** Names under which the server may be addressed, without port; undefined allows all. */
  readonly hosts: readonly string[] | undefined;
  /** Origins of web pages that may use the server, besides its own; "*" for all. */
  readonly origins: readonly string[];
}

export const LOOPBACK_HOSTS: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];

/** Whether only this machine reaches what listens at an address. */
export function isLoopback(address: string): boolean {
  return address === "localhost" || address === "::1" || /^127\.\d+\.\d+\.\d+$/.test(address);
}

/**
 * Refuses requests to a name that isn't the server's. A page of evil.example can have that name point to 127.0.0.1, and
 * its script is then of the same origin as the server; but the name stays in the Host header.
 */
export function checkHost({ hosts }: AccessOptions): MiddlewareHandler<ServerEnv> {
  const names = hosts?.map((name) => name.toLowerCase());
  return createMiddleware<ServerEnv>(async (c, next) => {
    const host = c.req.header("host") ?? new URL(c.req.url).host;
    const name = host.replace(/:\d+$/, "").toLowerCase();
    if (names && !names.includes(name)) {
      throw new ApiError(403, "The server doesn't go by this name.", { code: "host_not_allowed" });
    }
    await next();
  });
}

/** Refuses what pages of other origins send, preflight or not. */
export function checkOrigin({ origins }: AccessOptions): MiddlewareHandler<ServerEnv> {
  return createMiddleware<ServerEnv>(async (c, next) => {
    const origin = c.req.header("origin");
    if (origin !== undefined && !origins.includes("*") && !origins.includes(origin)) {
      const host = c.req.header("host") ?? new URL(c.req.url).host;
      if (!URL.canParse(origin) || new URL(origin).host !== host)
        throw new ApiError(403, "Pages of this origin may not use the server.", {
          code: "origin_not_allowed",
        });
    }
    await next();
  });
}

/** Tells clients apart: by the digest of their key, else by their address. */
export function identify({ keys }: AccessOptions): MiddlewareHandler<ServerEnv> {
  return createMiddleware<ServerEnv>(async (c, next) => {
    const key = keys.length > 0 ? bearer(c.req.header("authorization")) : undefined;
    const owner = key === undefined ? "" : hex(await digest(key));
    Object.assign(c.get("info"), { owner, client: owner || (c.env?.address ?? "") });
    await next();
  });
}

/** @throws ApiError 401 without one of the keys */
export function checkKey({ keys }: AccessOptions): MiddlewareHandler<ServerEnv> {
  const digests = Promise.all(keys.map(digest));
  return createMiddleware<ServerEnv>(async (c, next) => {
    if (keys.length > 0) {
      const key = bearer(c.req.header("authorization"));
      const given = await digest(key ?? "");
      let matches = false;
      for (const known of await digests) matches = equal(known, given) || matches; // all of them, whatever matches
      if (key === undefined || !matches) {
        throw new ApiError(
          401,
          key === undefined ? "Give an API key: Authorization: Bearer KEY." : "The API key is wrong.",
          {
            code: "invalid_api_key",
            headers: { "www-authenticate": "Bearer" },
          },
        );
      }
    }
    await next();
  });
}

function bearer(header: string | undefined): string | undefined {
  return /^bearer +(\S+) *$/i.exec(header ?? "")?.[1];
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

/** Takes the same time wherever the two differ. */
function equal(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
