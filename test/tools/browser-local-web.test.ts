import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { browserTool, localWeb } from "../../src/tools/index.ts";

const WEB = new URL("../../golden/web/", import.meta.url);
const never = new AbortController().signal;

async function answers(
  source: Parameters<typeof localWeb>[0],
  calls: readonly (readonly [string, object])[],
) {
  const browser = browserTool({ backend: localWeb(source) });
  const texts: string[] = [];
  for (const [name, args] of calls) {
    const call = { recipient: `browser.${name}`, function: name, content: JSON.stringify(args) };
    texts.push((await browser.call(call, { signal: never })).text);
  }
  return texts;
}

describe("a web in a folder", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "web-"));
    await writeFile(join(folder, "a.html"), "<title>Own</title><p>About owls.<p>More");
  });
  afterAll(() => rm(folder, { recursive: true }));
  const index = (value: unknown) => writeFile(join(folder, "index.json"), JSON.stringify(value));
  const calls = [
    ["search", { query: "owls" }],
    ["open", { id: 0 }],
  ] as const;

  test("is searched and read, by path or URL", async () => {
    await index([{ url: "https://web.example/a", title: "Owls", file: "a.html" }]);
    for (const source of [folder, pathToFileURL(folder)]) {
      const [results, page] = await answers(source, calls);
      expect(results).toContain("【0†Owls†web.example】 About owls.");
      expect(page).toContain("[1] Own (https://web.example/a)");
    }
  });

  test.each([
    [{}, "no list"],
    [[{ url: "https://web.example/a", title: "x" }], "lacks"],
    [[null], "lacks"],
    [[{ url: "https://web.example/a", title: "x", file: "../a.html" }], "outside"],
    [[{ url: "https://web.example/a", title: "x", file: "b/../../a.html" }], "outside"],
    [[{ url: "https://web.example/a", title: "x", file: "/etc/passwd" }], "outside"],
  ])("with the index %j is refused", async (value, message) => {
    await index(value);
    const [results] = await answers(folder, calls);
    expect(results).toMatch(new RegExp(`^Error during search for .*${message}`));
  });
});

describe("golden/web", () => {
  test("every question's page is found, opened and has the answer on the line cited", async () => {
    type Question = { query: string; id: number; answer: string };
    const questions: Question[] = JSON.parse(await readFile(new URL("questions.json", WEB), "utf8"));
    expect(questions.length).toBeGreaterThan(50);
    for (const { query, id, answer } of questions) {
      const [, page] = await answers(WEB, [
        ["search", { query }],
        ["open", { cursor: 0, id }],
      ]);
      const [, sentence, line] = /^(.*)【1†(L\d+)】$/.exec(answer)!;
      expect(page!.split("\n")).toContain(`${line}: ${sentence}`);
    }
  });
});
