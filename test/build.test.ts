import { readdir, readFile } from "node:fs/promises";
import { expect, test } from "vitest";

test("built modules import built modules, whenever they do", async () => {
  const dist = new URL("../dist/", import.meta.url);
  let read = 0;
  for (const file of await readdir(dist, { recursive: true })) {
    if (!file.endsWith(".js")) continue;
    const source = await readFile(new URL(file, dist), "utf8");
    expect([file, source.match(/(?:from|import\()\s*"\.[^"]*\.ts"/)?.[0]]).toEqual([file, undefined]);
    read++;
  }
  expect(read).toBeGreaterThan(100);
});
