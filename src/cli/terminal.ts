import { styleText } from "node:util";

/** Dims text on a stream that shows styles. */
export function dim(text: string, stream: NodeJS.WriteStream): string {
  return stream.isTTY && !process.env["NO_COLOR"] ? styleText("dim", text) : text;
}

/** Today's date where the user is, YYYY-MM-DD; the clock is read nowhere but here. */
export function today(): string {
  const now = new Date();
  const two = (n: number): string => String(n).padStart(2, "0");
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}

/** Rows of text as columns; the first row is the heading. Columns whose name begins with # are right-aligned. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const names = heading.map((name) => name.replace(/^#/, ""));
  const widths = names.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (heading[i]!.startsWith("#") ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd();
  return [line(names), line(widths.map((width) => "─".repeat(width))), ...rows.map(line)].join("\n");
}
