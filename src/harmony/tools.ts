/** A JSON Schema, as plain data. */
export type JsonSchema = { readonly [keyword: string]: unknown } | boolean;

/** A function that the model may call, as it is told of it. */
export interface ToolDescription {
  /** Without the namespace, such as `get_weather`. */
  readonly name: string;
  readonly description: string;
  /**
   * What the function takes; without it, nothing. As JSON text it keeps what JavaScript objects lose: 1.0 as against 1,
   * and the place of keys like "7".
   */
  readonly parameters?: JsonSchema | string | null;
}

/** Functions under one name: the model calls `namespace.name`. Without tools (as `python`), the namespace itself is called. */
export interface ToolNamespace {
  readonly name: string;
  readonly description?: string | null;
  readonly tools: readonly ToolDescription[];
}

/** A shape for the answer, told to the model in the developer message. That alone doesn't enforce it. */
export interface ResponseFormat {
  readonly name: string;
  readonly description?: string | null;
  /** As JSON text it keeps what JavaScript objects lose; see ToolDescription. */
  readonly schema: JsonSchema | string;
}

/** Functions of one's own, under the name that the model was trained with; they go into the developer message. */
export function functionTools(tools: readonly ToolDescription[]): ToolNamespace {
  return { name: "functions", tools };
}

/*
 * The texts that the model was trained with: `ToolNamespaceConfig` in openai/harmony, src/chat.rs. Built-in tools go
 * into the system message, and the model calls them on the analysis channel.
 */

/** The built-in browser: `browser.search`, `browser.open` and `browser.find`. */
export const BROWSER: ToolNamespace = {
  name: "browser",
  description: [
    "Tool for browsing.",
    "The `cursor` appears in brackets before each browsing display: `[{cursor}]`.",
    "Cite information from the tool using the following format:",
    "`【{cursor}†L{line_start}(-L{line_end})?】`, for example: `【6†L9-L11】` or `【8†L3】`.",
    "Do not quote more than 10 words directly from the tool output.",
    "sources=web (default: web)",
  ].join("\n"),
  tools: [
    {
      name: "search",
      description: "Searches for information related to `query` and displays `topn` results.",
      parameters: {
        type: "object",
        properties: {
          query: { type: "string" },
          topn: { type: "number", default: 10 },
          source: { type: "string" },
        },
        required: ["query"],
      },
    },
    {
      name: "open",
      description: [
        "Opens the link `id` from the page indicated by `cursor` starting at line number `loc`, showing `num_lines` lines.",
        "Valid link ids are displayed with the formatting: `【{id}†.*】`.",
        "If `cursor` is not provided, the most recent page is implied.",
        "If `id` is a string, it is treated as a fully qualified URL associated with `source`.",
        "If `loc` is not provided, the viewport will be positioned at the beginning of the document or centered on the most relevant passage, if available.",
        "Use this function without `id` to scroll to a new location of an opened page.",
      ].join("\n"),
      parameters: {
        type: "object",
        properties: {
          id: { type: ["number", "string"], default: -1 },
          cursor: { type: "number", default: -1 },
          loc: { type: "number", default: -1 },
          num_lines: { type: "number", default: -1 },
          view_source: { type: "boolean", default: false },
          source: { type: "string" },
        },
      },
    },
    {
      name: "find",
      description: "Finds exact matches of `pattern` in the current page, or the page given by `cursor`.",
      parameters: {
        type: "object",
        properties: {
          pattern: { type: "string" },
          cursor: { type: "number", default: -1 },
        },
        required: ["pattern"],
      },
    },
  ],
};

/** The built-in Python interpreter: called as `python`, with the code itself as the message. */
export const PYTHON: ToolNamespace = {
  name: "python",
  description: [
    "Use this tool to execute Python code in your chain of thought. The code will not be shown to the user. This tool should be used for internal reasoning, but not for code that is intended to be visible to the user (e.g. when creating plots, tables, or files).",
    "",
    "When you send a message containing Python code to python, it will be executed in a stateful Jupyter notebook environment. python will respond with the output of the execution or time out after 120.0 seconds. The drive at '/mnt/data' can be used to save and persist user files. Internet access for this session is UNKNOWN. Depends on the cluster.",
  ].join("\n"),
  tools: [],
};
