export { type ApplyPatchOptions, applyPatchTool } from "./patch/patch-tool.ts";
export { type PythonOptions, type PythonTool, pythonTool } from "./python/python-tool.ts";
export type { Tool, ToolCall, ToolContext, ToolImage, ToolResult } from "./tool.ts";
