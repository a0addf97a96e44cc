import { type Grammar, GrammarError, jsonSchemaGrammar } from "../grammar/index.ts";
import type { JsonSchema, ToolDescription } from "../harmony/index.ts";
import type { Tool } from "../tools/tool.ts";

/**
 * What the arguments of each function must be, by recipient. Left out are built-in tools, functions whose arguments
 * aren't an object, and those whose schema has keywords that can't be enforced: there the function itself has to check.
 */
export function callFormats(tools: readonly Tool[]): Map<string, Grammar> {
  const formats = new Map<string, Grammar>();
  for (const { namespace, placement } of tools) {
    if (placement === "system") continue;
    for (const tool of namespace.tools) {
      const grammar = argumentsOf(tool);
      if (grammar) formats.set(`${namespace.name}.${tool.name}`, grammar);
    }
  }
  return formats;
}

const known = new WeakMap<ToolDescription, Grammar | undefined>();

function argumentsOf(tool: ToolDescription): Grammar | undefined {
  if (!known.has(tool)) known.set(tool, objectGrammar(tool.parameters));
  return known.get(tool);
}

/** @throws GrammarError if the schema can't be enforced */
export function schemaGrammar(schema: JsonSchema | string): Grammar {
  return jsonSchemaGrammar(typeof schema === "string" ? JSON.parse(schema) : schema);
}

function objectGrammar(parameters: ToolDescription["parameters"]): Grammar | undefined {
  const schema: unknown = typeof parameters === "string" ? JSON.parse(parameters) : parameters;
  if (typeof schema !== "object" || schema === null) return undefined;
  if ((schema as { type?: unknown }).type !== "object") return undefined;
  try {
    return jsonSchemaGrammar(schema);
  } catch (error) {
    if (error instanceof GrammarError) return undefined;
    throw error;
  }
}
