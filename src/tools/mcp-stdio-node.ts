import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js";
import type { McpServer } from "./mcp-config.ts";

const MAX_STDERR = 2000;

/** A program as an MCP server. `complaints` gives the end of what it wrote to standard error, to tell why it ended. */
export function stdioTransport(server: Extract<McpServer, { command: string }>): {
  readonly transport: Transport;
  readonly complaints: () => string;
} {
  const { command, args = [], env, cwd } = server;
  const transport = new StdioClientTransport({
    command,
    args: [...args],
    stderr: "pipe",
    ...(env && { env: { ...env } }),
    ...(cwd !== undefined && { cwd }),
  });
  let stderr = "";
  transport.stderr?.on("data", (chunk: Uint8Array) => {
    stderr = (stderr + new TextDecoder().decode(chunk)).slice(-MAX_STDERR);
  });
  return { transport, complaints: () => stderr.trim() };
}
