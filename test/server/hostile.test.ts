// More of the same: FUZZ_RUNS=15 npx vitest run test/server/hostile.test.ts --testTimeout 3600000  (10,500 requests)
import { connect } from "node:net";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { BuiltInTools } from "../../src/server/index.ts";
import { bodyOf, hostile, type Json, type OpenApi, pathOf, requestOf } from "../support/openapi-requests.ts";
import { listen, MODEL, post, type Running, small } from "./support.ts";

const RUNS = 100 * Number(process.env["FUZZ_RUNS"] ?? 1);
const SEED = 20260102;

let running: Running;
let document: OpenApi;
let validators: Map<string, (value: unknown) => boolean>;
/** In requests, these stand for ids of what is there: a response, one of the background, an item. Any may have been deleted meanwhile. */
const IDS = ["resp_stored", "resp_background", "msg_stored"] as const;
const ids = new Map<string, string>();
const named = (text: string): string => IDS.reduce((all, id) => all.replaceAll(id, ids.get(id)!), text);
const ajv = new Ajv2020({ strict: false });

beforeAll(async () => {
  const limits = { contextTokens: 256, bodyBytes: 64 * 1024, jsonDepth: 24 };
  running = await listen(small, { limits, builtInTools, corsOrigins: ["http://page.example"] });
  document = (await (await fetch(`${running.url}/openapi.json`)).json()) as OpenApi;
  ajv.addSchema({ ...document, $id: "openapi" });
  await restore();
  validators = new Map(
    Object.entries(document.paths).flatMap(([path, operations]) =>
      Object.entries(operations).flatMap(([method, { responses }]) => {
        const schema = responses["200"]?.content?.["application/json"]?.schema;
        return schema ? [[`${method} ${path}`, ajv.compile(schema)] as const] : [];
      }),
    ),
  );
}, 60_000);
afterAll(() => running[Symbol.asyncDispose]());

const isError = ajv.compile({
  type: "object",
  required: ["error"],
  properties: {
    error: {
      type: "object",
      required: ["message", "type", "param", "code"],
      properties: {
        message: { type: "string", minLength: 1 },
        type: { enum: ["invalid_request_error", "rate_limit_exceeded"] },
        param: { type: ["string", "null"] },
        code: { type: ["string", "null"] },
      },
    },
  },
});

/** Holds what was answered against the document; returns the status. */
async function check(answer: Response, operation?: string): Promise<number> {
  const text = await answer.text();
  const told = `${operation}: ${answer.status} ${text.slice(0, 500)}`;
  expect(answer.status, told).toBeLessThan(500);
  // Node refuses what it can't read ahead of the application
  if (answer.status !== 431) expect(answer.headers.get("x-request-id"), told).toMatch(/^req_\w+$/);
  if (answer.status >= 400) {
    expect(isError(JSON.parse(text)), told).toBe(true);
  } else if (answer.headers.get("content-type")?.startsWith("application/json")) {
    const validate = operation === undefined ? undefined : validators.get(operation);
    expect(validate, `${operation} has no schema`).toBeDefined();
    if (!validate!(JSON.parse(text)))
      expect.fail(`${told}: ${ajv.errorsText((validate as never)["errors"])}`);
  } else if (answer.headers.get("content-type")?.startsWith("text/event-stream")) {
    for (const line of text.split("\n")) expect(line, told).toMatch(/^(data: |event: |: |$)/);
    expect(text, told).toMatch(/data: \[DONE\]\n\n$|"type":"response\.(completed|incomplete|failed)"/);
    expect(text, told).not.toContain('"code":"server_error"'); // what can't be done fails when a background response begins
  }
  return answer.status;
}

/** Tools that the server may be asked for; in answers of two tokens none is called. */
const builtInTools: BuiltInTools = {
  names: ["python", "browser", "notes"],
  open: async (names) =>
    names.map((name) => ({
      namespace: { name, description: name, tools: [] },
      placement: "system",
      call: async () => ({ text: "" }),
    })),
};

/** Each request is to be of a few tokens. */
const few: Json = { max_tokens: 2, max_completion_tokens: 2, max_output_tokens: 2 };
const field = (name: string): fc.Arbitrary<unknown> | undefined => {
  if (name in few) return fc.constant(few[name]);
  if (name === "n") return fc.integer({ min: 1, max: 3 });
  if (name === "previous_response_id") return fc.constantFrom("resp_stored", "resp_none");
  // names and ids that find each other: a call and its output, a choice and its tool, an item and where it is kept
  if (name === "name") return fc.constantFrom("f", "g");
  if (name === "call_id" || name === "tool_call_id") return fc.constantFrom("call_1", "call_2");
  if (name === "server_label") return fc.constantFrom("notes", "nobody");
  if (name === "id" || name === "after" || name === "before")
    return fc.constantFrom("resp_stored", ...IDS, MODEL, "call_1");
  return undefined;
};

describe("a request of the document's shape", () => {
  for (const [noise, least] of [
    [0, 0.1],
    [0.02, 0],
    [0.2, 0],
  ] as const) {
    test(`is answered as the document says, or refused in OpenAI's words, with ${noise * 100} % of its parts wrong`, async () => {
      const bodies = Object.entries(document.paths).flatMap(([path, { post: operation }]) => {
        const schema = operation?.requestBody?.content["application/json"]?.schema;
        return schema ? [fc.record({ path: fc.constant(path), body: bodyOf(schema, { noise, field }) })] : [];
      });
      expect(bodies.length).toBeGreaterThanOrEqual(3);
      let [all, good] = [0, 0];
      await fc.assert(
        fc.asyncProperty(fc.oneof(...bodies), async ({ path, body }) => {
          const limited =
            typeof body === "object" && body !== null && !Array.isArray(body) ? { ...few, ...body } : body;
          const status = await check(
            await post(running.url + path, named(JSON.stringify(limited))),
            `post ${path}`,
          );
          all++;
          if (status === 200) good++;
        }),
        { seed: SEED, numRuns: RUNS, endOnFailure: true },
      );
      expect(good / all).toBeGreaterThanOrEqual(least);
      expect((await fetch(`${running.url}/health`)).status).toBe(200);
    });
  }

  test.each([0.02, 0.2])(
    "is so for every operation of the document, with a part of %d wrong",
    async (noise) => {
      const seen = new Map<string, Set<number>>();
      await fc.assert(
        fc.asyncProperty(requestOf(document, { noise, field }), async ({ method, path, address, body }) => {
          const isObject = typeof body === "object" && body !== null && !Array.isArray(body);
          const answer = await fetch(running.url + named(address), {
            method: method.toUpperCase(),
            ...(body !== undefined && {
              headers: { "content-type": "application/json" },
              body: named(JSON.stringify(isObject ? { ...few, ...body } : body)),
            }),
          });
          const operation = `${method} ${path}`;
          const isPlain = answer.headers.get("content-type")?.startsWith("text/plain");
          const status = isPlain ? answer.status : await check(answer, operation);
          seen.set(operation, (seen.get(operation) ?? new Set()).add(status));
          if (method === "delete" && status === 200) await restore();
        }),
        { seed: SEED, numRuns: 2 * RUNS, endOnFailure: true },
      );
      const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
        Object.keys(methods).map((method) => `${method} ${path}`),
      );
      if (noise > 0.1) return; // so much that bodies are hardly ever right
      for (const operation of operations) expect([...seen.get(operation)!], operation).toContain(200);
    },
  );

  test("is so with any path, query, method and headers", async () => {
    const paths = Object.keys(document.paths);
    const segment = fc.oneof(
      fc.constantFrom(
        "resp_stored",
        "%00",
        "..",
        "%2e%2e%2f",
        "%",
        "%ff",
        "a".repeat(3000),
        "__proto__",
        "constructor",
        MODEL,
      ),
      fc.string({ unit: "binary" }).map((text) => encodeURIComponent(text.replace(/\p{Surrogate}/gu, "?"))),
    );
    const headers = fc.dictionary(
      fc.constantFrom(
        "content-type",
        "authorization",
        "origin",
        "accept",
        "accept-encoding",
        "x-request-id",
        "cookie",
        "range",
      ),
      fc.oneof(
        fc.constantFrom(
          "application/json",
          "text/plain",
          "Bearer ",
          "null",
          "http://page.example",
          "bytes=5-",
          "a".repeat(4000),
        ),
        fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) }),
      ),
    );
    const query = fc.dictionary(
      fc.constantFrom("limit", "order", "after", "before", "include[]", "stream", "__proto__"),
      hostile,
    );
    const method = fc.constantFrom("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD");
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          pathOf(paths, segment),
          fc.array(segment).map((parts) => `/${parts.join("/")}`),
        ),
        query,
        method,
        headers,
        fc.string({ unit: "binary" }),
        async (path, query, method, headers, body) => {
          const address = new URL(running.url + named(path));
          for (const [name, value] of Object.entries(query))
            address.searchParams.append(name, `${JSON.stringify(value)}`.replaceAll('"', ""));
          const hasBody = !["GET", "HEAD", "OPTIONS"].includes(method);
          const answer = await fetch(address, { method, headers, ...(hasBody && { body }) });
          const found = paths.find((each) =>
            new RegExp(`^${each.replace("{id}", "[^/]+")}$`).test(address.pathname),
          );
          const isPlain = method === "HEAD" || method === "OPTIONS" || address.pathname === "/metrics";
          if (isPlain || found === undefined) {
            expect(answer.status).toBeLessThan(500);
            await answer.arrayBuffer();
          } else if (!(method === "DELETE" && answer.ok))
            await check(answer, `${method.toLowerCase()} ${found}`);
          else await restore();
        },
      ),
      { seed: SEED, numRuns: 2 * RUNS, endOnFailure: true },
    );
  });
});

/** Stores what requests may name. */
async function restore(): Promise<void> {
  const ask = { model: MODEL, input: "Hi", max_output_tokens: 1 };
  const create = async (more: object) =>
    (await (await post(`${running.url}/v1/responses`, { ...ask, ...more })).json()) as {
      id: string;
      output: { id: string }[];
    };
  const whole = await create({});
  ids.set("resp_stored", whole.id);
  ids.set("msg_stored", whole.output[0]!.id);
  ids.set("resp_background", (await create({ background: true })).id);
}

describe("bytes that aren't a request", () => {
  const head = (length: number | string, type = "application/json"): string =>
    `POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\n\r\n`;
  const body = JSON.stringify({ model: MODEL, messages: [{ role: "user", content: "Hi" }], max_tokens: 1 });
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
    fc.nat(body.length).map((cut) => Buffer.from(head(body.length) + body.slice(0, cut))),
    fc.integer({ min: -2, max: 5000 }).map((length) => Buffer.from(head(length) + body)),
    fc
      .constantFrom("1e3", "0x10", "", "+5", "5, 6", "99999999999999999999")
      .map((length) => Buffer.from(head(length) + body)),
    // where the body's text is damaged, bytes of UTF-8 among it
    fc.tuple(fc.nat(body.length - 1), fc.uint8Array({ minLength: 1, maxLength: 4 })).map(([at, junk]) => {
      const damaged = Buffer.concat([Buffer.from(body.slice(0, at)), junk, Buffer.from(body.slice(at))]);
      return Buffer.concat([Buffer.from(head(damaged.length)), damaged]);
    }),
    fc
      .tuple(fc.constantFrom("[", '{"a":', '"', "1e", "-", "\\u"), fc.nat(20_000))
      .map(([part, times]) => part.repeat(times))
      .map((text) => Buffer.from(head(text.length) + text)),
    fc
      .tuple(fc.integer({ min: -1, max: 600 }), fc.string({ maxLength: 20 }))
      .map(([size, junk]) =>
        Buffer.from(
          `POST /v1/responses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${size.toString(16)}\r\n${body}\r\n${junk}\r\n0\r\n\r\n`,
        ),
      ),
  );

  test("are refused or let go, and the server goes on", async () => {
    const { port, hostname } = new URL(running.url);
    await fc.assert(
      fc.asyncProperty(bytes, async (sent) => {
        const received = await new Promise<string>((resolve, reject) => {
          let text = "";
          const socket = connect(Number(port), hostname, () => socket.end(sent));
          socket.setEncoding("latin1");
          socket.on("data", (chunk: string) => (text += chunk));
          socket.on("error", (error: NodeJS.ErrnoException) => {
            if (error.code === "ECONNRESET" || error.code === "EPIPE") resolve(text);
            else reject(error);
          });
          socket.on("close", () => resolve(text));
        });
        expect(received).not.toMatch(/^HTTP\/1\.1 5/);
        for (const refusal of received.matchAll(/^HTTP\/1\.1 4.*?\r\n\r\n(.*)$/gms))
          expect(refusal[1]).toMatch(/^\{"error":\{"message":"/);
      }),
      { seed: SEED, numRuns: 2 * RUNS, endOnFailure: true },
    );
    expect(running.server.context.admission.running).toBe(0);
    expect((await fetch(`${running.url}/health`)).status).toBe(200);
  });
});
