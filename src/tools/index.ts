export * from "./browser/index.ts";
export { type FunctionOptions, functionTool, type SchemaObject } from "./functions.ts";
export { type McpOptions, mcpTools } from "./mcp.ts";
export { type McpServer, type NamedMcpServer, readMcpConfig } from "./mcp-config.ts";
export { type ApplyPatchOptions, applyPatchTool } from "./patch/patch-tool.ts";
export { type PythonOptions, type PythonTool, pythonTool } from "./python/python-tool.ts";
export type { Tool, ToolCall, ToolContext, ToolImage, ToolResult } from "./tool.ts";
