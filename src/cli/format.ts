import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { type Grammar, gbnfGrammar, jsonSchemaGrammar, regexGrammar } from "../grammar/index.ts";
import type { ResponseFormat } from "../harmony/index.ts";
import { readText } from "./arguments.ts";

/** What the answer must be, by at most one of these. */
export interface FormatFlags {
  schema?: string;
  regex?: string;
  grammar?: string;
}

export function formatFlags(command: Command): Command {
  return command
    .option("--schema <file>", "answer with JSON that is valid against this JSON Schema")
    .option("--regex <pattern>", "answer with text that this regular expression matches as a whole")
    .option("--grammar <file>", "answer with text of this grammar, in llama.cpp's notation GBNF");
}

export interface AnswerFormat {
  readonly grammar: Grammar;
  /** What the model is told of it. */
  readonly told: ResponseFormat | undefined;
}

/** The format that the user asked for, if any. */
export async function answerFormat({
  schema,
  regex,
  grammar,
}: FormatFlags): Promise<AnswerFormat | undefined> {
  if ([schema, regex, grammar].filter((flag) => flag !== undefined).length > 1) {
    throw new UsageError("--schema, --regex and --grammar exclude each other");
  }
  if (regex !== undefined) return { grammar: regexGrammar(regex), told: undefined };
  if (grammar !== undefined)
    return { grammar: gbnfGrammar(await readText(grammar, "the format")), told: undefined };
  if (schema === undefined) return undefined;
  const text = await readText(schema, "the format");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new UsageError("not a JSON file", { where: schema, found: (cause as Error).message, cause });
  }
  return { grammar: jsonSchemaGrammar(json), told: { ...titles(json), schema: text } };
}

function titles(schema: unknown): { name: string; description: string | null } {
  const { title, description } = (schema ?? {}) as { title?: unknown; description?: unknown };
  const name =
    typeof title === "string"
      ? title
          .trim()
          .replace(/[^\w-]+/g, "_")
          .slice(0, 64)
      : "";
  return { name: name || "response", description: typeof description === "string" ? description : null };
}
