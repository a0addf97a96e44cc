import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import type { Tool } from "../tools/index.ts";

export interface ToolFlags {
  tools: string[];
}

export const TOOL_NAMES: readonly string[] = ["python", "browser", "apply_patch"];

export function toolFlags(command: Command): Command {
  return command.option(
    "--tools <names>",
    `what the model may use, separated by commas: ${TOOL_NAMES.join(", ")}`,
    (text: string) => text.split(",").filter((name) => name !== ""),
    [],
  );
}

/** Makes tools by their names. */
export async function createTools(names: readonly string[], _flags: ToolFlags): Promise<Tool[]> {
  const unknown = names.find((name) => !TOOL_NAMES.includes(name));
  if (unknown !== undefined) {
    throw new UsageError("no such tool", { expected: TOOL_NAMES.join(", "), found: unknown });
  }
  return [];
}
