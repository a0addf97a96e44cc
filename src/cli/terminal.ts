import { styleText } from "node:util";

/** Dims text on a stream that shows styles. */
export function dim(text: string, stream: NodeJS.WriteStream): string {
  return stream.isTTY && !process.env["NO_COLOR"] ? styleText("dim", text) : text;
}

/** Model text and names from files for a terminal: without the control characters that could take it over. */
export function printable(text: string, stream: NodeJS.WriteStream): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it is about
  return stream.isTTY ? text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd") : text;
}

/** Today's date where the user is, YYYY-MM-DD; the clock is read nowhere but here. */
export function today(): string {
  const now = new Date();
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

/** Rows of cells as lines, two spaces between columns; `right` says which columns are aligned to the right. */
export function columns(rows: readonly (readonly string[])[], right: readonly boolean[] = []): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  return rows.map((row) =>
    row
      .map((cell, i) => (right[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd(),
  );
}

/** A table under a heading; columns whose name begins with # are aligned to the right. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const names = heading.map((name) => name.replace(/^#/, ""));
  const [first, ...rest] = columns(
    [names, ...rows],
    heading.map((name) => name.startsWith("#")),
  );
  return [first, "─".repeat(Math.max(...[first!, ...rest].map((line) => line.length))), ...rest].join("\n");
}
