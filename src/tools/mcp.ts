import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import { UsageError } from "../errors.ts";
import type { JsonSchema } from "../harmony/index.ts";
import { messageOf, parseArguments } from "./arguments.ts";
import type { McpServer } from "./mcp-config.ts";
import { toolResult } from "./mcp-result.ts";
import type { Tool, ToolCall, ToolContext, ToolResult } from "./tool.ts";

export interface McpOptions {
  /** What the model calls the tools by; `functions` if left out. */
  readonly namespace?: string;
  /** Put before each tool's name with `_`, to tell servers apart. */
  readonly prefix?: string;
  /** Milliseconds for one answer; 60,000 if left out. */
  readonly timeoutMs?: number;
}

const CLIENT = { name: "gpt-oss-ts", version: "0" };
const MAX_PAGES = 64;
const MAX_TOOLS = 256;
const MAX_DESCRIPTION = 8192;
/** Characters of one schema as JSON; tools with larger ones are told of without. */
const MAX_SCHEMA = 65_536;
const MAX_SCHEMA_DEPTH = 64;
const MAX_NAME = 64;

/**
 * The tools of an MCP server, to pass to an agent like any others. They share one connection, which the first `close` ends; if it
 * breaks, the next call connects anew. The list is the one at the beginning: `list_changed` comes too late, since the model has
 * been told. Rejects with UsageError if the server can't be reached or doesn't speak MCP.
 *
 *     const tools = await mcpTools({ command: "npx", args: ["-y", "@modelcontextprotocol/server-everything"] });
 */
export async function mcpTools(
  server: McpServer | { readonly transport: Transport },
  { namespace = "functions", prefix, timeoutMs = 60_000 }: McpOptions = {},
): Promise<readonly Tool[]> {
  if (!/^[a-z_]\w{0,63}$/i.test(namespace))
    throw new UsageError("a namespace is a word", { found: namespace });
  const connection = new Connection(server, timeoutMs);
  let listed: readonly ListedTool[];
  try {
    listed = await listTools(await connection.client(), timeoutMs);
  } catch (cause) {
    const complaints = connection.complaints();
    await connection.close();
    const hint = complaints && `It wrote: ${complaints}`;
    throw new UsageError("no MCP server", {
      where: "command" in server ? server.command : "url" in server ? server.url : "transport",
      found: messageOf(cause),
      ...(hint && { hint }),
      cause,
    });
  }
  const names = new Set<string>();
  return listed.map((tool) =>
    mcpTool(tool, uniqueName(tool.name, prefix, names), namespace, connection, timeoutMs),
  );
}

interface ListedTool {
  readonly name: string;
  readonly description?: string | undefined;
  readonly inputSchema: unknown;
}

async function listTools(client: Client, timeout: number): Promise<readonly ListedTool[]> {
  const tools: ListedTool[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < MAX_PAGES && tools.length < MAX_TOOLS; page++) {
    const answer = await client.listTools(cursor === undefined ? {} : { cursor }, { timeout });
    tools.push(...answer.tools);
    if (!answer.nextCursor || answer.nextCursor === cursor) break;
    cursor = answer.nextCursor;
  }
  return tools.slice(0, MAX_TOOLS);
}

function mcpTool(
  { name: ownName, description = "", inputSchema }: ListedTool,
  name: string,
  namespace: string,
  connection: Connection,
  timeout: number,
): Tool {
  const parameters = boundedSchema(inputSchema);
  return {
    namespace: {
      name: namespace,
      tools: [
        { name, description: description.slice(0, MAX_DESCRIPTION), ...(parameters && { parameters }) },
      ],
    },
    placement: "developer",
    async call({ content }: ToolCall, { signal }: ToolContext): Promise<ToolResult> {
      signal.throwIfAborted();
      const parsed = parseArguments(content);
      if (!parsed.ok) return { text: parsed.problem, isError: true };
      try {
        const client = await connection.client();
        const params = { name: ownName, arguments: { ...parsed.value } };
        // a signal of this call alone: the client never takes its listeners off
        const options = { signal: AbortSignal.any([signal]), timeout };
        return toolResult(await client.callTool(params, undefined, options));
      } catch (error) {
        signal.throwIfAborted();
        return { text: messageOf(error), isError: true };
      }
    },
    close: () => connection.close(),
  };
}

/** One server; connected on demand, and again after the connection broke. */
class Connection {
  readonly #server: McpServer | { readonly transport: Transport };
  readonly #timeout: number;
  #client: Promise<Client> | undefined;
  #isClosed = false;
  complaints: () => string = () => "";

  constructor(server: McpServer | { readonly transport: Transport }, timeout: number) {
    this.#server = server;
    this.#timeout = timeout;
  }

  client(): Promise<Client> {
    if (this.#isClosed) throw new Error("The MCP server's connection has been closed.");
    if (this.#client) return this.#client;
    const connecting = this.#connect();
    this.#client = connecting;
    // the next call tries again
    connecting.catch(() => this.#forget(connecting));
    return connecting;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const client = await this.#client?.catch(() => undefined);
    await client?.close();
  }

  #forget(client: Promise<Client>): void {
    if (this.#client === client) this.#client = undefined;
  }

  async #connect(): Promise<Client> {
    const server = this.#server;
    if ("transport" in server) return this.#open(server.transport);
    if ("command" in server) {
      const { stdioTransport } = await import("./mcp-stdio-node.ts");
      const { transport, complaints } = stdioTransport(server);
      this.complaints = complaints;
      return this.#open(transport);
    }
    const { StreamableHTTPClientTransport } = await import(
      "@modelcontextprotocol/sdk/client/streamableHttp.js"
    );
    const url = new URL(server.url);
    const requestInit = { headers: { ...server.headers } };
    try {
      return await this.#open(new StreamableHTTPClientTransport(url, { requestInit }) as Transport);
    } catch (error) {
      // servers of before 2025 know only server-sent events, and refuse the request as a client's mistake
      const status = Object(error).code;
      if (!(status >= 400 && status < 500) || status === 401 || status === 403) throw error;
      const { SSEClientTransport } = await import("@modelcontextprotocol/sdk/client/sse.js");
      return this.#open(new SSEClientTransport(url, { requestInit }));
    }
  }

  async #open(transport: Transport): Promise<Client> {
    const [{ Client }, { CfWorkerJsonSchemaValidator }] = await Promise.all([
      import("@modelcontextprotocol/sdk/client/index.js"),
      import("@modelcontextprotocol/sdk/validation/cfworker"),
    ]);
    const client = new Client(CLIENT, { jsonSchemaValidator: new CfWorkerJsonSchemaValidator() });
    const current = this.#client;
    client.onclose = () => {
      if (current) this.#forget(current);
    };
    try {
      await client.connect(transport, { timeout: this.#timeout });
    } catch (error) {
      await client.close().catch(() => {});
      throw error;
    }
    return client;
  }
}

/** A name that the model can call and no other tool of this server has. */
function uniqueName(own: string, prefix: string | undefined, taken: Set<string>): string {
  const wanted =
    (prefix === undefined ? own : `${prefix}_${own}`).replace(/[^\w-]/g, "_").slice(0, MAX_NAME) || "_";
  let name = wanted;
  for (let i = 2; taken.has(name); i++) name = `${wanted.slice(0, MAX_NAME - String(i).length - 1)}_${i}`;
  taken.add(name);
  return name;
}

/** The schema, unless it is too large or too deep to tell the model. */
function boundedSchema(schema: unknown): JsonSchema | undefined {
  if (typeof schema !== "object" || schema === null || depthOf(schema) > MAX_SCHEMA_DEPTH) return undefined;
  return JSON.stringify(schema).length > MAX_SCHEMA ? undefined : (schema as JsonSchema);
}

function depthOf(root: object): number {
  let level: object[] = [root];
  let depth = 0;
  for (; level.length > 0 && depth <= MAX_SCHEMA_DEPTH; depth++) {
    level = level.flatMap((value) => Object.values(value)).filter((v) => typeof v === "object" && v !== null);
  }
  return depth;
}
