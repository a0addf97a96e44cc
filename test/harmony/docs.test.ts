import { readFileSync } from "node:fs";
import { transformWithEsbuild } from "vite";
import { expect, it } from "vitest";
import * as harmony from "../../src/harmony/index.ts";
import { ids, tokenizer } from "./stream.ts";

const page = readFileSync(new URL("../../docs/harmony.md", import.meta.url), "utf8");
const blocks = (language: string): string[] =>
  [...page.matchAll(/^```(\w+)\n(.*?)\n```$/gms)].flatMap(([, found, code]) =>
    found === language ? [code!] : [],
  );

it("the page's example runs, and gives what the page shows", async () => {
  const [prompt, written] = blocks("text") as [string, string];
  const code = blocks("ts")
    .join("\n")
    .replaceAll(/^import (?:type )?\{.*?\} from "gpt-oss-ts\/harmony";$/gms, "");
  const given = {
    ...harmony,
    console: { log: (text: string) => printed.push(text) },
    tokenizer,
    generate: (start: number[]) => {
      expect(tokenizer.decode(start)).toBe(prompt);
      return ids(written);
    },
    show: () => expect.unreachable(),
  };
  const printed: string[] = [];
  const script = await transformWithEsbuild(`${code}\nreturn messages;`, "page.ts");
  const messages = new Function(...Object.keys(given), script.code)(
    ...Object.values(given),
  ) as harmony.Message[];

  expect(printed).toEqual([prompt]);
  expect(messages.slice(3)).toEqual([
    { role: "assistant", channel: "analysis", content: "I need the weather." },
    {
      role: "assistant",
      channel: "commentary",
      recipient: "functions.get_weather",
      contentType: "<|constrain|>json",
      content: '{"city":"Zürich"}',
    },
    {
      role: "tool",
      name: "functions.get_weather",
      recipient: "assistant",
      channel: "commentary",
      content: '{"celsius":4}',
    },
  ]);
});

it("the page's table of what there is names what there is", () => {
  const table = page.slice(page.indexOf("## What there is"), page.indexOf("Once the last answer"));
  const rows = table.split("\n").filter((line) => line.startsWith("| `"));
  const names = rows.flatMap((row) =>
    [...row.split(" | ")[0]!.matchAll(/`(\w+)`/g)].map(([, name]) => name!),
  );
  expect(names.length).toBeGreaterThan(12);
  expect(names.filter((name) => !(name in harmony))).toEqual([]);
});
