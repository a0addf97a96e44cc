import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";

/** Cells of each row of the tables in a text, continued rows joined, `″` and headings left out. */
function tables(lines: readonly string[]): string[][] {
  const rows: string[][] = [];
  for (const line of lines) {
    const cells = line
      .split(/(?<!\\|max|\|x)\|(?!x)/)
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll("\\|", "|"));
    const said = cells.filter((cell) => cell !== "″" && cell !== "");
    if (cells.length < 2 || /^-+$/.test(said[0] ?? "")) continue;
    if (cells[0] === "") rows.at(-1)![1] += ` ${said[0]}`;
    else rows.push(said);
  }
  return rows;
}

test("the page about differing logits says where dialects round in the words of the source", async () => {
  const read = (path: string): Promise<string> => readFile(new URL(`../../${path}`, import.meta.url), "utf8");
  const source = (await read("src/numerics/dialects.ts"))
    .split("\n")
    .filter((line) => line.startsWith(" * |"));
  const [, page] = (await read("docs/why-do-my-logits-differ.md")).split("## Where each dialect rounds");
  const expected = tables(source);
  expect(expected).toHaveLength(14 + 7);
  expect(tables(page!.split("\n").filter((line) => line.startsWith("|")))).toEqual(expected);
});
