/**
 * The code of a call. What a model writes is Python as it is; two habits from other formats are undone, neither of which
 * would be a sensible program: a whole call in one Markdown fence, which Python can't parse, and one JSON object that
 * holds nothing but the code under a customary name.
 */
export function codeOf(content: string): string {
  const fenced = /^\s*(`{3,})[ \t]*(?:python3?|py|ipython)?[ \t]*\r?\n([\s\S]*?)\r?\n?[ \t]*\1\s*$/i.exec(
    content,
  );
  if (fenced !== null && !fenced[2]!.includes(fenced[1]!)) return fenced[2]!;
  if (/^\s*\{\s*"(?:code|script|input|source)"\s*:/.test(content)) {
    try {
      const values = Object.values(JSON.parse(content) as object) as unknown[];
      if (values.length === 1 && typeof values[0] === "string") return values[0];
    } catch {
      // Python's own dictionary, perhaps
    }
  }
  return content;
}
