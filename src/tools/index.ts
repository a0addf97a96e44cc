export * from "./browser/index.ts";
export { type FunctionOptions, functionTool, type SchemaObject } from "./functions.ts";
export { type McpOptions, mcpTools } from "./mcp.ts";
export { type McpServer, type NamedMcpServer, readMcpConfig } from "./mcp-config.ts";
export type { Tool, ToolCall, ToolContext, ToolImage, ToolResult } from "./tool.ts";
