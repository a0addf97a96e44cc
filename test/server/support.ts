import OpenAI from "openai";
import { load, type Model } from "../../src/index.ts";
import { createServer, type GptOssServer, type ServerOptions, serve } from "../../src/server/index.ts";

/** The trained checkpoint, shared by the tests of a file. */
export const small: Model = await load("golden/small", { threads: 1 });

export const MODEL = "small";

export interface Running extends AsyncDisposable {
  readonly server: GptOssServer;
  readonly url: string;
  readonly client: OpenAI;
  /** Lines of the log. */
  readonly log: string[];
}

/** A server that really listens, with OpenAI's client. */
export async function listen(model: Model, options: ServerOptions = {}): Promise<Running> {
  const log: string[] = [];
  const logger = {
    info: (line: string) => void log.push(line),
    error: (line: string) => void log.push(line),
  };
  const server = createServer(model, { id: MODEL, logger, today: () => "2026-01-02", ...options });
  const { url, stop } = await serve(server, { port: 0 });
  return {
    server,
    url,
    client: new OpenAI({ baseURL: `${url}/v1`, apiKey: options.apiKeys?.[0] ?? "none", maxRetries: 0 }),
    log,
    async [Symbol.asyncDispose]() {
      await server.close(0);
      await stop();
    },
  };
}

/** Sends JSON without a client that would check it first. */
export function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** Resolves once something holds; rejects by the test's own time limit. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}
