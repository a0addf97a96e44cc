import { readFileSync } from "node:fs";
import { Tiktoken } from "js-tiktoken/lite";
import o200k from "js-tiktoken/ranks/o200k_base";
import { describe, expect, test } from "vitest";
import { htmlPage } from "../../src/tools/browser/page.ts";
import { domainOf, joinUrl, quote, unquote } from "../../src/tools/browser/python.ts";
import { wrapLines } from "../../src/tools/browser/wrap.ts";
import { type BrowserBackend, browserTool, resolveCitations } from "../../src/tools/index.ts";

const GOLDEN = new URL("../../golden/browser/", import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, GOLDEN), "utf8");
const rows = <T>(name: string): T[] =>
  read(name)
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as T);

interface Manifest {
  readonly pages: Readonly<Record<string, string>>;
  readonly titles: Readonly<Record<string, string>>;
  readonly hits: readonly { url: string; title: string; summary: string }[];
}
interface Sequence {
  readonly name: string;
  readonly view_tokens: number;
  readonly calls: readonly {
    function: string;
    content: string;
    text?: string;
    raises?: string;
    differs?: string;
  }[];
  readonly urls: readonly string[];
}

const manifest: Manifest = JSON.parse(read("manifest.json"));
const encoding = new Tiktoken(o200k);
const tokenizer = {
  encode: (text: string) => encoding.encode(text, [], []),
  decode: (ids: readonly number[]) => encoding.decode([...ids]),
};
const signal = new AbortController().signal;

/** The back end of scripts/golden-browser/make.py. */
const backend: BrowserBackend = {
  name: "web",
  async search(query, { topn }) {
    if (query === "error") throw new Error("the search engine is down");
    return query === "nothing" ? [] : manifest.hits.slice(0, topn);
  },
  async fetch(url) {
    const file = manifest.pages[url];
    if (file === undefined) throw new Error(`No contents returned for ${url}`);
    return { url, content: read(`pages/${file}`), kind: "html", title: manifest.titles[url] ?? "" };
  },
};

async function replay(sequence: Sequence) {
  const browser = browserTool({ backend, tokenizer, viewTokens: sequence.view_tokens });
  const results = [];
  for (const { function: name, content } of sequence.calls) {
    results.push(await browser.call({ recipient: `browser.${name}`, function: name, content }, { signal }));
  }
  return { results, urls: browser.urls };
}

test("the model is told of it as by the reference", () => {
  const { namespace, placement } = browserTool({ backend });
  expect(placement).toBe("system");
  expect(namespace).toEqual(JSON.parse(read("namespace.json")));
});

const sequences = rows<Sequence>("sequences.jsonl");

describe("what OpenAI's SimpleBrowserTool shows", () => {
  test.each(sequences.map((sequence) => [sequence.name, sequence] as const))(
    "%s",
    async (_name, sequence) => {
      const { results, urls } = await replay(sequence);
      const same = sequence.calls.map((call, i) => ({
        content: call.content,
        text: call.differs || call.raises ? results[i]!.text : call.text,
      }));
      expect(results.map(({ text }, i) => ({ content: sequence.calls[i]!.content, text }))).toEqual(same);
      if (!sequence.calls.some((call) => call.differs || call.raises)) expect(urls).toEqual(sequence.urls);
    },
  );
});

test("what makes the reference crash is answered", async () => {
  const sequence = sequences.find(({ name }) => name === "what the reference doesn't catch")!;
  expect(sequence.calls.filter(({ raises }) => raises)).toHaveLength(8);
  const { results } = await replay(sequence);
  expect(results.map(({ text }) => text.split("\n")[0])).toEqual([
    "Missing argument `query`",
    "No pages to access!",
    "[0] Lists (https://site.example.com/lists.html)",
    "`loc` should be an integer, not `float`",
    "`loc` should be an integer, not `str`",
    "`num_lines` should be an integer, not `str`",
    "`id` should be an integer, not `dict`",
    "`cursor` should be an integer, not `float`",
    "[1] Lists (https://site.example.com/lists.html)",
    "[2] Lists (https://site.example.com/lists.html)",
  ]);
});

describe("where the reference is wrong", () => {
  const differing = (reason: string) =>
    sequences.flatMap((sequence) =>
      sequence.calls.some(({ differs }) => differs === reason) ? [sequence] : [],
    );
  test.each([...new Set(sequences.flatMap(({ calls }) => calls.flatMap(({ differs }) => differs ?? [])))])(
    "%s: ours is another text",
    async (reason) => {
      for (const sequence of differing(reason)) {
        const { results } = await replay(sequence);
        for (const [i, call] of sequence.calls.entries()) {
          if (call.differs === reason) expect(results[i]!.text).not.toBe(call.text);
        }
      }
    },
  );
});

test("pages of random tags", async () => {
  for (const row of rows<{ html: string; title: string; text: string; links: string[] }>("random.jsonl")) {
    const { title, text, links } = await htmlPage(row.html, "https://site.example.com/dir/page");
    expect({ html: row.html, title, text, links: links.map(({ url }) => url) }).toEqual(row);
  }
});

test("citations", () => {
  interface Row {
    text: string;
    cited: string;
    urls: string[];
    annotations: { start_index: number; end_index: number; title: string; url: string }[];
  }
  for (const { text, cited, urls, annotations } of rows<Row>("citations.jsonl")) {
    const ours = resolveCitations(text, urls);
    expect(ours.text).toBe(cited);
    expect(ours.citations.map(({ start, end, title, url }) => ({ start, end, title, url }))).toEqual(
      annotations.map(({ start_index: start, end_index: end, title, url }) => ({ start, end, title, url })),
    );
  }
});

test("citations of what was found in a page, and of its source, lead to the page", async () => {
  const browser = browserTool({ backend });
  const url = "https://site.example.com/article.html";
  for (const [name, args] of [
    ["open", { id: url }],
    ["find", { pattern: "steps" }],
    ["open", { cursor: 0, view_source: true }],
    ["find", { pattern: "<title>" }],
  ] as const) {
    const call = { recipient: `browser.${name}`, function: name, content: JSON.stringify(args) };
    expect((await browser.call(call, { signal })).isError).toBeUndefined();
  }
  expect(browser.urls).toEqual([
    url,
    `${url}/find?pattern=steps`,
    `view-source:${url}`,
    `view-source:${url}/find?pattern=%3Ctitle%3E`,
  ]);
  const { citations } = browser.resolveCitations("【0†L1】【1†L1】【2†L1】【3†L1】");
  expect(citations.map((citation) => citation.url)).toEqual([url, url, url, url]);
});

test("lines wrap as by Python's textwrap", () => {
  for (const { text, lines } of rows<{ text: string; lines: string[] }>("wrapping.jsonl")) {
    expect(wrapLines(text)).toEqual(lines);
  }
});

test("links join as by Python's urljoin", () => {
  for (const row of rows<{ base: string; link: string; joined: string; domain: string }>("links.jsonl")) {
    const joined = joinUrl(row.base, row.link);
    expect({ ...row, joined, domain: domainOf(joined) }).toEqual(row);
  }
});

test("addresses are quoted and unquoted as by Python's urllib", () => {
  for (const row of rows<{ text: string; quoted?: string; unquoted?: string }>("quoting.jsonl")) {
    if (row.quoted !== undefined) expect(quote(row.text)).toBe(row.quoted);
    else expect(unquote(row.text)).toBe(row.unquoted);
  }
});
