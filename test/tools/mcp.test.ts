import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import { CallToolRequestSchema, ListToolsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { afterEach, describe, expect, test } from "vitest";
import { ConfigError, UsageError } from "../../src/errors.ts";
import {
  type McpOptions,
  mcpTools,
  readMcpConfig,
  type Tool,
  type ToolResult,
} from "../../src/tools/index.ts";

const never = new AbortController().signal;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function call(tools: readonly Tool[], name: string, args: unknown = {}, signal = never): Promise<ToolResult> {
  const tool = tools.find(({ namespace }) => namespace.tools[0]!.name === name)!;
  const content = typeof args === "string" ? args : JSON.stringify(args);
  return tool.call({ recipient: `functions.${name}`, function: name, content }, { signal });
}

type Listed = { name: string; description?: string; inputSchema: { type: "object" } };
type Answer = (name: string, args: unknown) => unknown;

/** A server in this process: tools by page, and what calls give. */
function served(pages: readonly (readonly Listed[])[], answer: Answer = () => ({ content: [] })): Server {
  const server = new Server({ name: "test", version: "1" }, { capabilities: { tools: {} } });
  server.setRequestHandler(ListToolsRequestSchema, ({ params }) => {
    const page = Number(params?.cursor ?? 0);
    return {
      tools: [...pages[page % pages.length]!],
      ...(page + 1 < pages.length || pages.length === 1 ? { nextCursor: String(page + 1) } : {}),
    };
  });
  server.setRequestHandler(
    CallToolRequestSchema,
    ({ params }) => answer(params.name, params.arguments) as Promise<{ content: [] }>,
  );
  return server;
}

async function connected(server: Server, options?: McpOptions): Promise<readonly Tool[]> {
  const [ours, theirs] = InMemoryTransport.createLinkedPair();
  await server.connect(theirs);
  const tools = await mcpTools({ transport: ours }, options);
  cleanups.push(() => tools[0]?.close?.());
  return tools;
}

const tool = (name: string, more: object = {}): Listed => ({
  name,
  inputSchema: { type: "object" },
  ...more,
});
const names = (tools: readonly Tool[]) => tools.map(({ namespace }) => namespace.tools[0]!.name);

describe("tools of a server in this process", () => {
  test("all pages are listed; each is told under functions, in the developer message", async () => {
    const inputSchema = { type: "object" as const, properties: { x: { type: "string" } } };
    const tools = await connected(served([[tool("a", { description: "A", inputSchema })], [tool("b")]]));
    expect(tools.map(({ namespace, placement }) => ({ namespace, placement }))).toEqual([
      {
        namespace: { name: "functions", tools: [{ name: "a", description: "A", parameters: inputSchema }] },
        placement: "developer",
      },
      {
        namespace: {
          name: "functions",
          tools: [{ name: "b", description: "", parameters: { type: "object" } }],
        },
        placement: "developer",
      },
    ]);
  });

  test("names that the model couldn't call, or that collide, are mapped; calls go to the server's own", async () => {
    const long = "x".repeat(100);
    const own = ["a.b", "a/b", "a_b", "naïve tool", long, `${long}y`];
    const tools = await connected(
      served([own.map((name) => tool(name)), []], (name) => ({ content: [{ type: "text", text: name }] })),
    );
    const mapped = names(tools);
    expect(mapped.slice(0, 4)).toEqual(["a_b", "a_b_2", "a_b_3", "na_ve_tool"]);
    expect(new Set(mapped).size).toBe(own.length);
    for (const [i, name] of mapped.entries()) {
      expect(name).toMatch(/^[\w-]{1,64}$/);
      expect(await call(tools, name)).toEqual({ text: own[i] });
    }
  });

  test("a namespace and a prefix tell servers apart", async () => {
    const tools = await connected(served([[tool("a")], []]), { namespace: "files", prefix: "disk" });
    expect(tools[0]!.namespace).toMatchObject({ name: "files", tools: [{ name: "disk_a" }] });
    await expect(connected(served([[], []]), { namespace: "two words" })).rejects.toThrow(UsageError);
  });

  test("texts are joined, images are for people, all else is named", async () => {
    const content = [
      { type: "text", text: "one" },
      { type: "image", data: btoa("\x89PNG"), mimeType: "image/png" },
      { type: "audio", data: "", mimeType: "audio/wav" },
      { type: "resource", resource: { uri: "file:///a", text: "inside" } },
      { type: "resource", resource: { uri: "file:///b", blob: "" } },
      { type: "resource_link", uri: "file:///c", name: "see" },
    ];
    const tools = await connected(served([[tool("a")], []], () => ({ content })));
    expect(await call(tools, "a")).toEqual({
      text: "one\n[image: image/png]\n[audio: audio/wav]\ninside\n[resource: file:///b]\n[resource: see, file:///c]",
      images: [{ mediaType: "image/png", data: Uint8Array.of(0x89, 0x50, 0x4e, 0x47) }],
    });
  });

  test("structured content is shown where there is no other", async () => {
    const tools = await connected(
      served([[tool("a")], []], () => ({ content: [], structuredContent: { x: 1 } })),
    );
    expect(await call(tools, "a")).toEqual({ text: '{"x":1}' });
  });

  test("errors are answers: the server's, its exceptions, and arguments that are no object", async () => {
    const tools = await connected(
      served([[tool("a"), tool("b")], []], (name) => {
        if (name === "b") throw new Error("broken");
        return { content: [{ type: "text", text: "no" }], isError: true };
      }),
    );
    expect(await call(tools, "a")).toEqual({ text: "no", isError: true });
    expect(await call(tools, "b")).toEqual({ text: expect.stringContaining("broken"), isError: true });
    expect(await call(tools, "a", "{")).toMatchObject({ isError: true });
    expect(await call(tools, "a", "[]")).toMatchObject({ isError: true });
  });

  test("no answer in time is an error answer; an aborted call rejects", async () => {
    const tools = await connected(
      served([[tool("a")], []], () => new Promise(() => {})),
      { timeoutMs: 50 },
    );
    expect(await call(tools, "a")).toEqual({ text: expect.stringContaining("timed out"), isError: true });
    const controller = new AbortController();
    const pending = call(tools, "a", {}, controller.signal);
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 5);
    await expect(pending).rejects.toBe(reason);
  });

  test("hostile servers are bounded: endless lists, long and deep schemas, long answers, odd content", async () => {
    let deep: object = { type: "object" };
    for (let i = 0; i < 500; i++) deep = { type: "object", properties: { x: deep } };
    const wide = { type: "object", description: "x".repeat(100_000) };
    const hostile = [
      tool("a", { description: "d".repeat(100_000) }),
      tool("b", { inputSchema: deep }),
      tool("c", { inputSchema: wide }),
    ];
    const tools = await connected(
      served([hostile], (name) =>
        name === "a"
          ? { content: [{ type: "text", text: "y".repeat(5_000_000) }] }
          : { content: [{ type: "image", data: "%%%", mimeType: "x" }] },
      ),
    );
    expect(tools.length).toBeLessThanOrEqual(256);
    expect(tools[0]!.namespace.tools[0]!.description.length).toBeLessThan(10_000);
    expect(tools[1]!.namespace.tools[0]).toEqual({ name: "b", description: "" });
    expect(tools[2]!.namespace.tools[0]).toEqual({ name: "c", description: "" });
    expect((await call(tools, "a")).text.length).toBeLessThan(101_000);
    expect((await call(tools, "b")).images).toBeUndefined();
  });

  test("after close, calls are error answers", async () => {
    const tools = await connected(served([[tool("a")], []]));
    await tools[0]!.close!();
    await tools[0]!.close!();
    expect(await call(tools, "a")).toMatchObject({ isError: true });
  });
});

describe("a server that is a program", () => {
  const program = fileURLToPath(new URL("mcp-server.mjs", import.meta.url));
  const started = async () => {
    process.env["SECRET"] = "not passed on";
    const tools = await mcpTools({ command: process.execPath, args: [program], env: { GIVEN: "given" } });
    cleanups.push(() => tools[0]!.close!());
    return tools;
  };

  test("answers, and sees only the environment that it is given", async () => {
    const tools = await started();
    expect(names(tools)).toEqual(["add", "environment", "crash", "flood"]);
    expect(await call(tools, "add", { a: 2, b: 40 })).toEqual({ text: "42" });
    expect(await call(tools, "add", { a: "two" })).toMatchObject({ isError: true });
    expect(await call(tools, "environment")).toEqual({ text: "given undefined" });
  });

  test.each(["crash", "flood"])("a %s is an error answer, and the next call starts it anew", async (name) => {
    const tools = await started();
    expect(await call(tools, name)).toMatchObject({ isError: true });
    expect(await call(tools, "add", { a: 1, b: 2 })).toEqual({ text: "3" });
  });

  test("that isn't there, or is no MCP server, is a UsageError that says what it wrote", async () => {
    await expect(mcpTools({ command: "no-such-program-anywhere" })).rejects.toThrow(UsageError);
    const args = ["-e", "console.error('wrong usage'); process.exit(1)"];
    await expect(mcpTools({ command: process.execPath, args })).rejects.toThrow(/wrong usage/);
  });
});

describe("a server with an address", () => {
  async function listening(handler: Parameters<typeof createServer>[1]): Promise<string> {
    const http = createServer(handler!).listen(0, "127.0.0.1");
    await new Promise((resolve) => http.once("listening", resolve));
    cleanups.push(() => {
      http.closeAllConnections();
      http.close();
    });
    return `http://127.0.0.1:${(http.address() as AddressInfo).port}/`;
  }
  const greeting = () => served([[tool("a")], []], () => ({ content: [{ type: "text", text: "hello" }] }));

  test("answers over streamable HTTP, and gets the headers", async () => {
    const seen = new Set<string | undefined>();
    const url = await listening(async (request, response) => {
      seen.add(request.headers.authorization);
      const transport = new StreamableHTTPServerTransport({ enableJsonResponse: true });
      await greeting().connect(transport as unknown as Transport);
      await transport.handleRequest(request, response);
    });
    const tools = await mcpTools({ url, headers: { Authorization: "Bearer key" } });
    cleanups.push(() => tools[0]!.close!());
    expect(await call(tools, "a")).toEqual({ text: "hello" });
    expect([...seen]).toEqual(["Bearer key"]);
  });

  test("answers over server-sent events, as old ones do", async () => {
    let events: SSEServerTransport | undefined;
    const url = await listening(async (request, response) => {
      if (request.method === "GET") {
        events = new SSEServerTransport("/messages", response);
        await greeting().connect(events);
      } else if (request.url!.startsWith("/messages")) {
        await events!.handlePostMessage(request, response);
      } else {
        response.writeHead(405).end();
      }
    });
    const tools = await mcpTools({ url });
    cleanups.push(() => tools[0]!.close!());
    expect(await call(tools, "a")).toEqual({ text: "hello" });
  });

  test("that refuses is a UsageError", async () => {
    const url = await listening((_request, response) => void response.writeHead(401).end("who are you?"));
    await expect(mcpTools({ url })).rejects.toThrow(UsageError);
  });
});

describe("the configuration file", () => {
  test("names servers", () => {
    const text = JSON.stringify({
      mcpServers: {
        files: { command: "npx", args: ["-y", "x"], env: { A: "b" }, type: "stdio" },
        remote: { url: "https://mcp.example/mcp", headers: { Authorization: "Bearer x" } },
        off: { command: "x", disabled: true },
      },
    });
    expect(readMcpConfig(text)).toEqual([
      { name: "files", server: { command: "npx", args: ["-y", "x"], env: { A: "b" } } },
      { name: "remote", server: { url: "https://mcp.example/mcp", headers: { Authorization: "Bearer x" } } },
    ]);
  });

  test.each([
    "{",
    "[]",
    "{}",
    '{"mcpServers": []}',
    '{"mcpServers": {"x": 5}}',
    '{"mcpServers": {"x": {}}}',
    '{"mcpServers": {"x": {"command": "a", "url": "http://b"}}}',
    '{"mcpServers": {"x": {"command": "a", "args": "b"}}}',
    '{"mcpServers": {"x": {"command": "a", "args": [1]}}}',
    '{"mcpServers": {"x": {"command": "a", "env": {"B": 1}}}}',
    '{"mcpServers": {"x": {"url": "file:///etc/passwd"}}}',
    '{"mcpServers": {"x": {"url": "http://"}}}',
    '{"mcpServers": {"x": {"url": "http://a", "headers": []}}}',
  ])("%s is a ConfigError", (text) => {
    expect(() => readMcpConfig(text)).toThrow(ConfigError);
  });
});
