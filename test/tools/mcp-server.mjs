// An MCP server over standard input and output, for mcp.test.ts and scripts/check-tools.
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const server = new McpServer({ name: "test", version: "1" });
server.registerTool(
  "add",
  { description: "Adds", inputSchema: { a: z.number(), b: z.number() } },
  ({ a, b }) => ({
    content: [{ type: "text", text: String(a + b) }],
  }),
);
server.registerTool("environment", { inputSchema: {} }, () => ({
  content: [{ type: "text", text: `${process.env.GIVEN} ${process.env.SECRET}` }],
}));
server.registerTool("crash", { inputSchema: {} }, () => {
  console.error("crashing as asked");
  process.exit(3);
});
server.registerTool("flood", { inputSchema: {} }, () => {
  process.stdout.write("x".repeat(20 << 20));
  return { content: [] };
});
await server.connect(new StdioServerTransport());
