import { callFormats } from "../../agent/formats.ts";
import type { StructuredOptions } from "../../generation/structured.ts";
import type { BrowserTool, Tool } from "../../tools/index.ts";
import type { ServerContext } from "../context.ts";
import {
  type AnswerFormat,
  asTool,
  type FunctionDeclaration,
  formatsOf,
  recipientOf,
} from "../conversation.ts";
import { invalid } from "../errors.ts";
import { declaration, isClientTool, offeredTools } from "./client-tools.ts";
import type { ClientTool, CreateResponse, McpTool, NamedTool, RequestTool, ToolChoice } from "./request.ts";

/** Whose tool it is, which decides what item a call becomes and who answers it. */
export type ToolKind =
  | { readonly type: ClientTool["type"]; readonly namespace?: string }
  | { readonly type: "web_search"; readonly browser: BrowserTool }
  | { readonly type: "code_interpreter" }
  | { readonly type: "mcp"; readonly label: string };

/** Whether the client runs it, so that its call ends the response. */
export function isClients({ type }: ToolKind): boolean {
  return type === "function" || type === "custom" || type === "local_shell";
}

/** The tools of a request, ready to be told of and called. */
export interface OpenTools {
  readonly functions: readonly FunctionDeclaration[];
  /** Those that run on the server. */
  readonly hosted: readonly Tool[];
  /** All that the model is told of, whoever answers. */
  readonly all: readonly Tool[];
  readonly kinds: ReadonlyMap<Tool, ToolKind>;
  /** What the model is held to until its first call, and after it: a call can be required once only. */
  readonly first: StructuredOptions;
  readonly later: StructuredOptions;
  close(): Promise<void>;
}

type Asked = Pick<CreateResponse, "tools" | "tool_choice" | "text">;

/**
 * A request without the web search that its operator hasn't switched on: Codex and others offer it to every server, and the
 * model may do without what it needn't call. The response lists the tools that are left.
 */
export function withoutAbsent<T extends Asked>(request: T, { builtInTools }: ServerContext): T {
  const { tools, tool_choice: choice } = request;
  const isAbsent = (tool: RequestTool): boolean =>
    builtInName(tool) === "browser" && tool.type !== "mcp" && !builtInTools.names.includes("browser");
  const isNeeded = namedBy(choice).some(({ type }) => type.startsWith("web_search"));
  const kept = tools.filter((tool) => !isAbsent(tool));
  if (isNeeded || kept.length === tools.length || (isRequired(choice) && kept.length === 0)) return request;
  return { ...request, tools: kept };
}

/**
 * Checks what a request wants to use, as far as that needs nothing opened.
 *
 * @throws ApiError 400 for tools that the operator hasn't switched on, and for choices that name none of the tools
 */
export function checkTools(
  { tools, tool_choice: choice }: Asked,
  { builtInTools, limits }: ServerContext,
): void {
  const all = tools.flatMap((tool): readonly RequestTool[] =>
    tool.type === "namespace" ? tool.tools : [tool],
  );
  if (all.length > limits.tools) throw invalid("tools", `'tools': at most ${limits.tools} tools.`);
  for (const [index, tool] of tools.entries()) {
    const param = `tools[${index}]`;
    const name = builtInName(tool);
    if (tool.type === "namespace" && RESERVED.includes(tool.name))
      throw invalid(`${param}.name`, `'${param}.name': '${tool.name}' is a namespace of the model's own.`);
    if (name === undefined) continue;
    if (!builtInTools.names.includes(name)) {
      const what =
        tool.type === "mcp" ? `the MCP server '${tool.server_label.slice(0, 100)}'` : `'${tool.type}'`;
      throw invalid(
        param,
        `'${param}': the operator of this server hasn't switched ${what} on.`,
        "unsupported_value",
      );
    }
    if (tool.type === "mcp") checkMcp(tool, param);
    if ("filters" in tool && tool.filters != null)
      throw invalid(`${param}.filters`, `'${param}.filters' isn't supported here.`, "unsupported_value");
  }
  for (const named of namedBy(choice)) {
    if (!all.some((tool) => isNamed(tool, named)))
      throw invalid("tool_choice", "'tool_choice' names a tool that isn't among 'tools'.");
  }
  if (isRequired(choice) && all.length === 0)
    throw invalid("tool_choice", "'tool_choice' requires a call, and there are no tools.");
}

/** What gpt-oss calls its own tools and a client's functions. */
const RESERVED: readonly string[] = ["functions", "browser", "python"];

/** Servers are the operator's, and so is the decision that their tools may be called. */
function checkMcp(tool: McpTool, param: string): void {
  for (const field of ["server_url", "connector_id"] as const) {
    if (tool[field] != null)
      throw invalid(
        `${param}.${field}`,
        `'${param}.${field}' isn't supported: name one of the server's own by 'server_label'.`,
        "unsupported_value",
      );
  }
  if (tool.require_approval != null && tool.require_approval !== "never")
    throw invalid(
      `${param}.require_approval`,
      `'${param}.require_approval' can only be 'never'.`,
      "unsupported_value",
    );
}

/**
 * Opens the tools that a request may use; the caller closes them.
 *
 * @throws ApiError 400 if a schema can't be enforced that has to be
 */
export async function openTools(
  request: Asked,
  format: AnswerFormat,
  context: ServerContext,
): Promise<OpenTools> {
  const { tools, tool_choice: choice } = request;
  const offered = offeredTools(tools);
  const functions = offered.map(declaration);
  const named = namedBy(choice);
  const isAllowed = (tool: RequestTool): boolean =>
    choice !== "none" && (named.length === 0 || named.some((each) => isNamed(tool, each)));

  const kinds = new Map<Tool, ToolKind>();
  const opened = new Map<string, readonly Tool[]>();
  const close = async (): Promise<void> => {
    await Promise.all([...opened.values()].flat().map((tool) => tool.close?.()));
  };
  try {
    for (const asked of tools) {
      const name = builtInName(asked);
      if (name === undefined || opened.has(name) || !isAllowed(asked)) continue;
      opened.set(name, await context.builtInTools.open([name]));
      for (const tool of opened.get(name)!) kinds.set(tool, kindOf(asked, tool));
    }
    const hosted = [...kinds.keys()].filter((tool) => isTold(tool, tools, named, kinds.get(tool)!));
    const callable = choice === "none" ? [] : functions.filter((_, i) => isAllowed(offered[i]!.tool));
    const told = choice === "none" ? [] : functions.map(asTool);
    for (const [i, each] of told.entries()) {
      const { tool, namespace } = offered[i]!;
      kinds.set(each, { type: tool.type, ...(namespace && { namespace: namespace.name }) });
    }

    const { responseFormat, callFormats: own = [] } = formatsOf(
      callable,
      { mode: "auto" },
      format,
      context.limits,
    );
    const recipients = [
      ...callable.map(({ name, namespace }) => recipientOf(name, namespace?.name)),
      ...hosted.flatMap(recipientsOf),
    ];
    const formats = new Map([...callFormats(hosted), ...own]);
    const later: StructuredOptions = {
      ...(responseFormat && { responseFormat }),
      ...(formats.size > 0 && { callFormats: formats }),
      ...(tools.length > 0 && { recipients }),
    };
    return {
      functions: choice === "none" ? [] : functions,
      hosted,
      all: [...hosted, ...told],
      kinds,
      first: isRequired(choice) ? { ...later, recipients, mustCall: true } : later,
      later,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function builtInName(tool: RequestTool): string | undefined {
  if (isClientTool(tool) || tool.type === "namespace") return undefined;
  if (tool.type === "code_interpreter") return "python";
  return tool.type === "mcp" ? tool.server_label : "browser";
}

function kindOf(asked: RequestTool, tool: Tool): ToolKind {
  if (asked.type === "code_interpreter") return { type: "code_interpreter" };
  if (asked.type === "mcp") return { type: "mcp", label: asked.server_label };
  return { type: "web_search", browser: tool as BrowserTool };
}

/** Of an MCP server's tools, those that the request allows. */
function isTold(
  tool: Tool,
  asked: readonly RequestTool[],
  named: readonly NamedTool[],
  kind: ToolKind,
): boolean {
  if (kind.type !== "mcp") return true;
  const name = tool.namespace.tools[0]!.name;
  const is = (allowed: string): boolean => name === allowed || name === `${kind.label}_${allowed}`;
  const server = asked.find((each) => each.type === "mcp" && each.server_label === kind.label);
  const allowed = server?.type === "mcp" ? server.allowed_tools : undefined;
  const list =
    allowed && "tool_names" in allowed ? allowed.tool_names : (allowed as readonly string[] | undefined);
  const chosen = named.flatMap((each) => (each.type === "mcp" && each.name != null ? [each.name] : []));
  return (list == null || list.some(is)) && (chosen.length === 0 || chosen.some(is));
}

function recipientsOf({ namespace: { name, tools } }: Tool): string[] {
  return tools.length === 0 ? [name] : tools.map((tool) => `${name}.${tool.name}`);
}

function namedBy(choice: ToolChoice): readonly NamedTool[] {
  if (typeof choice === "string") return [];
  return choice.type === "allowed_tools" ? choice.tools : [choice];
}

function isRequired(choice: ToolChoice): boolean {
  if (typeof choice === "string") return choice === "required";
  return choice.type === "allowed_tools" ? choice.mode === "required" : true;
}

function isNamed(tool: RequestTool, named: NamedTool): boolean {
  if (named.type === "function" || named.type === "custom")
    return tool.type === named.type && tool.name === named.name;
  if (named.type === "mcp") return tool.type === "mcp" && tool.server_label === named.server_label;
  if (named.type === "code_interpreter" || named.type === "local_shell") return tool.type === named.type;
  return tool.type.startsWith("web_search");
}
