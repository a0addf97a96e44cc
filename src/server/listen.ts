import { type Server, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ApiError } from "./errors.ts";
import type { GptOssServer } from "./index.ts";

export interface ListenOptions {
  /** Default 127.0.0.1: this machine only. */
  readonly hostname?: string;
  /** Default 8000; 0 takes any that is free. */
  readonly port?: number;
}

export interface Listening {
  readonly url: string;
  /** Lets go of the port; connections that are open go on until their responses end, in Node.js for 10 seconds at most. */
  stop(): Promise<void>;
}

/** Listens with what the runtime brings: Deno, Bun or Node. */
export async function serve(
  server: GptOssServer,
  { hostname = "127.0.0.1", port = 8000 }: ListenOptions = {},
): Promise<Listening> {
  const runtime = globalThis as unknown as { readonly Deno?: DenoRuntime; readonly Bun?: BunRuntime };
  const listen = runtime.Deno ? listenDeno(runtime.Deno) : runtime.Bun ? listenBun(runtime.Bun) : listenNode;
  const { port: actual, stop } = await listen(server, hostname, port);
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return { url: `http://${host}:${actual}`, stop };
}

/** Time that clients have to read the rest of their answers when the server stops. */
const STALLED_MS = 10_000;

type Listen = (
  server: GptOssServer,
  hostname: string,
  port: number,
) => Promise<{ readonly port: number; readonly stop: () => Promise<void> }>;

/**
 * How long a connection waits for its next request: longer than clients wait. With Node's 5 seconds, which Python's clients have
 * as well, a request may reach a connection that the server is just closing.
 */
const KEEP_ALIVE_SECONDS = 75;

const listenNode: Listen = async (server, hostname, port) => {
  const { serve: serveNode } = await import("@hono/node-server");
  const node = await new Promise<Server>((resolve, reject) => {
    const fetch = (request: Request, env: unknown): Promise<Response> => {
      const address = (env as NodeBindings).incoming?.socket?.remoteAddress;
      return server.fetch(request, address === undefined ? {} : { address });
    };
    const serverOptions = { keepAliveTimeout: KEEP_ALIVE_SECONDS * 1000 };
    const listening = serveNode({ fetch, hostname, port, serverOptions }, () => {
      listening.off("error", reject);
      listening.on("error", (error) => server.context.logger.error("a connection was lost", error));
      resolve(listening);
    }) as Server;
    listening.once("error", reject);
  });
  // clients open connections ahead of need, which Node doesn't count as idle before their first request
  const unused = new Set<Socket>();
  node.on("connection", (socket) => unused.add(socket.once("close", () => unused.delete(socket))));
  node.on("request", ({ socket }) => unused.delete(socket));
  node.on("clientError", refuse);
  const { port: actual } = node.address() as { port: number };
  const stop = (): Promise<void> =>
    new Promise((resolve) => {
      const closeIdle = setInterval(() => node.closeIdleConnections(), 20);
      const closeAll = setTimeout(() => node.closeAllConnections(), STALLED_MS); // a client that doesn't read its answer
      node.close(() => {
        clearInterval(closeIdle);
        clearTimeout(closeAll);
        resolve();
      });
      for (const socket of unused) socket.destroy();
    });
  return { port: actual, stop };
};

/** What isn't HTTP, or hasn't come in time, never becomes a request; it is refused in the same words all the same. */
function refuse({ code }: NodeJS.ErrnoException, socket: Duplex): void {
  if (code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const error =
    code === "HPE_HEADER_OVERFLOW"
      ? new ApiError(431, "The request's headers are too large.", { code: "headers_too_large" })
      : code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? new ApiError(408, "The request didn't come in time.", { code: "request_timeout" })
        : new ApiError(400, "This isn't HTTP as the server knows it.", { code: "invalid_http" });
  const body = JSON.stringify(error);
  const head = [
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}`,
    "Connection: close",
    "Content-Type: application/json",
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

interface NodeBindings {
  readonly incoming?: { readonly socket?: { readonly remoteAddress?: string } };
}

interface DenoRuntime {
  serve(
    options: { hostname: string; port: number; onListen: () => void },
    handler: (request: Request, info: { remoteAddr: { hostname: string } }) => Promise<Response>,
  ): { readonly addr: { readonly port: number }; shutdown(): Promise<void> };
}

const listenDeno =
  (deno: DenoRuntime): Listen =>
  async (server, hostname, port) => {
    const listening = deno.serve({ hostname, port, onListen() {} }, (request, { remoteAddr }) =>
      server.fetch(request, { address: remoteAddr.hostname }),
    );
    return { port: listening.addr.port, stop: () => listening.shutdown() };
  };

interface BunRuntime {
  serve(options: {
    hostname: string;
    port: number;
    idleTimeout: number;
    fetch(request: Request, server: BunServer): Promise<Response>;
  }): BunServer;
}

interface BunServer {
  readonly port: number;
  requestIP(request: Request): { readonly address: string } | null;
  stop(): Promise<void>;
}

const listenBun =
  (bun: BunRuntime): Listen =>
  async (server, hostname, port) => {
    const listening = bun.serve({
      hostname,
      port,
      idleTimeout: 0, // a long prompt takes its time
      fetch: (request, self) => {
        const address = self.requestIP(request)?.address;
        return server.fetch(request, address === undefined ? {} : { address });
      },
    });
    return { port: listening.port, stop: () => listening.stop() };
  };
