import type { Header } from "./header.ts";
import type { ToolDescription, ToolNamespace } from "./tools.ts";

/** Whom a message calls. */
export interface CalledTool {
  readonly namespace: ToolNamespace;
  /** Undefined if the namespace itself is called, as `python` is. */
  readonly tool: ToolDescription | undefined;
}

/**
 * The tool that a message of the assistant calls, among those that it was told of; undefined if it calls none of them.
 *
 * What counts is the recipient, whatever the channel: models call functions on the analysis channel too. They also leave
 * out the namespace (`get_weather`), put `functions.` ahead of another one's name (`functions.browser.open`), write the
 * content type without a space (`functions.get_weatherjson`), or go on with a control token
 * (`functions.get_weather<|channel|>commentary`); a recipient that fits as it stands goes first.
 */
export function resolveRecipient(
  header: Pick<Header, "role" | "recipient">,
  namespaces: readonly ToolNamespace[],
): CalledTool | undefined {
  if (header.role !== "assistant" || header.recipient === undefined) return undefined;
  const name = header.recipient.split("<", 1)[0]!.trim();
  for (const each of [name, name.replace(/(?:json|code)$/, "")]) {
    const call = find(each, namespaces) ?? find(each.replace(/^functions\./, ""), namespaces);
    if (call !== undefined) return call;
  }
  return undefined;
}

function find(name: string, namespaces: readonly ToolNamespace[]): CalledTool | undefined {
  const calls = namespaces.flatMap<CalledTool>((namespace) =>
    namespace.tools.length === 0
      ? [{ namespace, tool: undefined }]
      : namespace.tools.map((tool) => ({ namespace, tool })),
  );
  const exact = calls.find(({ namespace, tool }) => fullName(namespace, tool) === name);
  if (exact !== undefined) return exact;
  const bare = calls.filter(({ tool }) => tool?.name === name);
  return (
    bare.find(({ namespace }) => namespace.name === "functions") ?? (bare.length === 1 ? bare[0] : undefined)
  );
}

function fullName(namespace: ToolNamespace, tool: ToolDescription | undefined): string {
  return tool === undefined ? namespace.name : `${namespace.name}.${tool.name}`;
}
