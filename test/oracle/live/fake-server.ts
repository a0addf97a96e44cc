import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request that a fake server got. */
export interface Got {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  // biome-ignore lint/suspicious/noExplicitAny: whatever the client sent
  readonly body: any;
}

export type Route = (got: Got, response: ServerResponse) => unknown;

/** What a route that isn't there answers. */
export class Refusal {
  readonly status: number;
  constructor(status = 404) {
    this.status = status;
  }
}

export interface FakeServer extends AsyncDisposable {
  readonly url: string;
  readonly got: Got[];
}

/** A server on the loopback that answers by route; what a route returns is sent as JSON, undefined if it wrote itself. */
export async function fakeServer(routes: Readonly<Record<string, Route>>): Promise<FakeServer> {
  const got: Got[] = [];
  const server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request) text += chunk;
    const path = request.url ?? "";
    const each = { method: request.method!, path, headers: request.headers, body: text && JSON.parse(text) };
    got.push(each);
    const answer = (await routes[path]?.(each, response)) ?? (routes[path] ? undefined : new Refusal());
    if (answer instanceof Refusal) {
      response.writeHead(answer.status, { "content-type": "application/json" });
      response.end('{"error": {"message": "not here"}}');
    } else if (answer !== undefined) {
      response.setHeader("content-type", "application/json");
      response.end(typeof answer === "string" ? answer : JSON.stringify(answer));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    got,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
