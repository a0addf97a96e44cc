import type { ToolImage, ToolResult } from "./tool.ts";

/** Characters that the model is shown of one answer. */
const MAX_TEXT = 100_000;
const MAX_IMAGES = 16;
/** Of one image, as base64. */
const MAX_IMAGE = 16 << 20;

/** An MCP server's answer as ours: texts joined by newlines, or the structured content where there are none. */
export function toolResult(answer: Readonly<Record<string, unknown>>): ToolResult {
  const content = Array.isArray(answer["content"]) ? (answer["content"] as readonly unknown[]) : [];
  const texts: string[] = [];
  const images: ToolImage[] = [];
  for (const item of content) {
    const part = Object(item) as Readonly<Record<string, unknown>>;
    const image = part["type"] === "image" && images.length < MAX_IMAGES ? imageFrom(part) : undefined;
    if (image) images.push(image);
    texts.push(textOf(part));
  }
  const structured = answer["structuredContent"];
  if (content.length === 0 && structured !== undefined) texts.push(JSON.stringify(structured));
  return {
    text: bounded(texts.join("\n")),
    ...(answer["isError"] === true && { isError: true }),
    ...(images.length > 0 && { images }),
  };
}

function textOf(part: Readonly<Record<string, unknown>>): string {
  const { type, text, mimeType, resource, uri, name } = part;
  switch (type) {
    case "text":
      return String(text);
    case "image":
    case "audio":
      return `[${type}: ${String(mimeType)}]`;
    case "resource": {
      const held = Object(resource) as Readonly<Record<string, unknown>>;
      return typeof held["text"] === "string" ? held["text"] : `[resource: ${String(held["uri"])}]`;
    }
    case "resource_link":
      return `[resource: ${String(name)}, ${String(uri)}]`;
    default:
      return `[${String(type)}]`;
  }
}

function imageFrom({ data, mimeType }: Readonly<Record<string, unknown>>): ToolImage | undefined {
  if (typeof data !== "string" || data.length > MAX_IMAGE || typeof mimeType !== "string") return undefined;
  try {
    return { mediaType: mimeType, data: Uint8Array.from(atob(data), (char) => char.charCodeAt(0)) };
  } catch {
    return undefined;
  }
}

function bounded(text: string): string {
  if (text.length <= MAX_TEXT) return text;
  return `${text.slice(0, MAX_TEXT)}\n[The answer is longer than this: ${text.length} characters.]`;
}
