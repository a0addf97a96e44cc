import { HarmonyError } from "./errors.ts";
import { jsonText, readJson } from "./json.ts";
import type { DeveloperContent, Message, SystemContent } from "./messages.ts";
import { typeText } from "./schema.ts";
import type { ResponseFormat, ToolDescription, ToolNamespace } from "./tools.ts";

/**
 * The text of a system message.
 *
 * @param withFunctions whether the conversation has functions, see hasFunctions
 * @throws HarmonyError if two namespaces have the same name, or a tool's parameters can't be read
 */
export function systemText(
  {
    identity = "You are ChatGPT, a large language model trained by OpenAI.",
    knowledgeCutoff = "2024-06",
    conversationStartDate = null,
    reasoningEffort = "medium",
    channels = ["analysis", "commentary", "final"],
    channelRequired = true,
    tools = [],
  }: SystemContent,
  withFunctions = false,
): string {
  const about: string[] = [];
  if (identity !== null) about.push(identity);
  if (knowledgeCutoff !== null) about.push(`Knowledge cutoff: ${knowledgeCutoff}`);
  if (conversationStartDate !== null) about.push(`Current date: ${conversationStartDate}`);

  const sections: string[] = [];
  if (about.length > 0) sections.push(about.join("\n"));
  if (reasoningEffort !== null) sections.push(`Reasoning: ${reasoningEffort}`);
  if (tools.length > 0) sections.push(toolsText(tools));
  if (channels !== null && channels.length > 0) {
    let rule = `# Valid channels: ${channels.join(", ")}.`;
    if (channelRequired) rule += " Channel must be included for every message.";
    if (withFunctions) rule += "\nCalls to these tools must go to the commentary channel: 'functions'.";
    sections.push(rule);
  }
  return sections.join("\n\n");
}

/**
 * The text of a developer message.
 *
 * @throws HarmonyError if two namespaces have the same name, or a schema can't be read
 */
export function developerText({
  instructions = null,
  tools = [],
  responseFormats = [],
}: DeveloperContent): string {
  const sections: string[] = [];
  if (instructions !== null) sections.push("# Instructions", instructions);
  if (tools.length > 0) sections.push(toolsText(tools));
  if (responseFormats.length > 0) sections.push("# Response Formats", ...responseFormats.map(formatText));
  return sections.join("\n\n");
}

/** Whether any developer message tells of functions; the system message says then where their calls go. */
export function hasFunctions(messages: readonly Message[]): boolean {
  return messages.some(
    ({ content }) =>
      typeof content !== "string" &&
      content.some(
        (part) =>
          part.type === "developer" &&
          part.tools?.some(({ name, tools }) => name === "functions" && tools.length > 0),
      ),
  );
}

function toolsText(namespaces: readonly ToolNamespace[]): string {
  const byName = new Map(namespaces.map((namespace) => [namespace.name, namespace]));
  if (byName.size < namespaces.length) throw new HarmonyError("two tool namespaces have the same name");
  const names = [...byName.keys()].sort(byCodePoint);
  return ["# Tools", ...names.map((name) => namespaceText(byName.get(name)!))].join("\n\n");
}

function namespaceText({ name, description, tools }: ToolNamespace): string {
  const about = lines(description ?? "");
  if (tools.length === 0) return [`## ${name}\n`, ...about].join("\n");
  return [
    `## ${name}\n`,
    ...about.map((line) => `// ${line}`),
    `namespace ${name} {\n`,
    ...tools.flatMap(toolText),
    `} // namespace ${name}`,
  ].join("\n");
}

function toolText({ name, description, parameters }: ToolDescription): string[] {
  const schema = readJson(parameters ?? null, `the parameters of ${name}`);
  const argument = schema === null ? "" : `_: ${typeText(schema)}`;
  return [...lines(description).map((line) => `// ${line}`), `type ${name} = (${argument}) => any;\n`];
}

function formatText({ name, description, schema }: ResponseFormat): string {
  const about = lines(description ?? "").map((line) => `// ${line}\n`);
  return `## ${name}\n\n${about.join("")}${jsonText(readJson(schema, `the schema of ${name}`))}`;
}

function lines(text: string): string[] {
  const all = text.replaceAll("\r\n", "\n").split("\n");
  return all.at(-1) === "" ? all.slice(0, -1) : all;
}

// As UTF-8 sorts. Units of UTF-16 sort otherwise from U+E000 on.
function byCodePoint(a: string, b: string): number {
  const left = Array.from(a, (char) => char.codePointAt(0)!);
  const right = Array.from(b, (char) => char.codePointAt(0)!);
  const index = left.findIndex((code, i) => code !== right[i]);
  return index < 0 ? left.length - right.length : left[index]! - (right[index] ?? -1);
}
