export * from "./browser/index.ts";
export type { Tool, ToolCall, ToolContext, ToolImage, ToolResult } from "./tool.ts";
