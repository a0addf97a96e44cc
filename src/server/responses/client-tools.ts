import type { JsonSchema } from "../../harmony/index.ts";
import type { FunctionDeclaration } from "../conversation.ts";
import type { ClientTool, NamespaceTool, RequestTool } from "./request.ts";

/*
 * Tools that the client runs. gpt-oss was trained to call functions, so that it is told of all of them as such; the others' calls
 * are functions' calls on the model's side, and what the API says on the client's.
 */

export function isClientTool(tool: RequestTool): tool is ClientTool {
  return tool.type === "function" || tool.type === "custom" || tool.type === "local_shell";
}

/** A tool that the client runs, alone or in a namespace, and where it stands in the request. */
export interface OfferedTool {
  readonly tool: ClientTool;
  readonly namespace?: NamespaceTool;
  readonly param: string;
}

export function offeredTools(tools: readonly RequestTool[]): OfferedTool[] {
  return tools.flatMap((tool, i): OfferedTool[] => {
    const param = `tools[${i}]`;
    if (tool.type === "namespace")
      return tool.tools.map((each, k) => ({
        tool: each,
        namespace: tool,
        param: `${param}.tools[${k}]`,
      }));
    return isClientTool(tool) ? [{ tool, param }] : [];
  });
}

/** The function of a client's shell. */
export const LOCAL_SHELL = "local_shell";

export function declaration({ tool, namespace, param }: OfferedTool): FunctionDeclaration {
  const common = {
    name: tool.type === "local_shell" ? LOCAL_SHELL : tool.name,
    ...(namespace && {
      namespace: {
        name: namespace.name,
        ...(namespace.description != null && { description: namespace.description }),
      },
    }),
    strict: false,
    param,
  };
  switch (tool.type) {
    case "local_shell":
      return {
        ...common,
        description: "Runs a command on the user's machine and returns its output.",
        parameters: SHELL,
      };
    case "custom":
      return { ...common, description: described(tool), parameters: TEXT };
    default:
      return {
        ...common,
        description: tool.description ?? "",
        ...(tool.parameters && { parameters: tool.parameters as JsonSchema }),
        strict: tool.strict ?? false,
      };
  }
}

const SHELL: JsonSchema = {
  type: "object",
  properties: {
    command: { type: "array", items: { type: "string" } },
    working_directory: { type: "string" },
    timeout_ms: { type: "integer" },
  },
  required: ["command"],
  additionalProperties: false,
};

const TEXT: JsonSchema = {
  type: "object",
  properties: { input: { type: "string" } },
  required: ["input"],
  additionalProperties: false,
};

/** A grammar isn't enforced within JSON, but told. */
function described({ description, format }: Extract<ClientTool, { type: "custom" }>): string {
  const grammar = format?.definition
    ? `The input's grammar (${format.syntax ?? "lark"}):\n${format.definition}`
    : "";
  return [description ?? "", grammar].filter((text) => text !== "").join("\n\n");
}

/** What a custom tool is given: what the model wrote as a function's argument; all of it, if that was cut short. */
export function customInput(args: string): string {
  const { input } = objectOf(args);
  return typeof input === "string" ? input : args;
}

/** The `action` of a call of the shell. */
export function shellAction(args: string): object {
  const { command, working_directory, timeout_ms } = objectOf(args);
  return {
    type: "exec",
    command: Array.isArray(command) ? command.map(String) : [],
    env: {},
    working_directory: typeof working_directory === "string" ? working_directory : null,
    timeout_ms: typeof timeout_ms === "number" ? timeout_ms : null,
    user: null,
  };
}

/** An object of JSON; an empty one if it isn't such. */
export function objectOf(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
