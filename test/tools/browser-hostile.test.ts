import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { htmlPage, MAX_TEXT, textPage } from "../../src/tools/browser/page.ts";
import { findPage, linesOf, withoutLinks } from "../../src/tools/browser/view.ts";
import { wrapLines } from "../../src/tools/browser/wrap.ts";
import { type BrowserBackend, browserTool, citationStream, resolveCitations } from "../../src/tools/index.ts";

// FUZZ_RUNS=34 npx vitest run test/tools/browser-hostile.test.ts: 10,200 pages
const RUNS = 300 * Number(process.env["FUZZ_RUNS"] ?? 1);
const SEED = 20250805;
const never = new AbortController().signal;
const URL_ = "https://site.example/dir/page";

const names =
  "a p div span ul ol li table tr td h1 pre code blockquote br hr dl dt dd s q abbr img sup sub script style title head body html math form option textarea iframe svg !-- ![CDATA[ ?php".split(
    " ",
  );
const html = fc
  .array(
    fc.oneof(
      fc.constantFrom(...names).map((name) => `<${name}>`),
      fc.constantFrom(...names).map((name) => `</${name}>`),
      fc
        .tuple(
          fc.constantFrom("a", "img", "abbr", "ol"),
          fc.constantFrom("href", "alt", "title", "start"),
          fc.string(),
        )
        .map(([name, attribute, value]) => `<${name} ${attribute}="${value}">`),
      fc.constantFrom(
        "<a href=/x>",
        "<a href='http://o.example'>",
        "【",
        "】",
        "†",
        "&#12304;",
        "&#x3011;",
        "【1†",
        "&lt;",
        "\u200b",
        "-->",
        "]]>",
      ),
      fc.string({ unit: "binary" }),
      fc.constantFrom("word", " ", "\n", "&nbsp;", "0", "1."),
    ),
    { maxLength: 60 },
  )
  .map((parts) => parts.join(""));

describe("any page", () => {
  test("becomes text whose links all lead somewhere, on lines of at most 80 characters", async () => {
    await fc.assert(
      fc.asyncProperty(html, fc.webUrl(), async (source, url) => {
        const page = await htmlPage(source, url).catch((error: Error) => error);
        if (page instanceof Error) {
          expect(page.message).toBe("Document is empty");
          return;
        }
        const ids = [...page.text.matchAll(/【(\d+)†[^【】]*】/g)].map(([, id]) => Number(id));
        expect(page.text.match(/[【】]/g)?.length ?? 0).toBe(2 * ids.length);
        for (const id of ids) expect(page.links[id]).toBeDefined();
        expect(page.title).not.toMatch(/[【】]/);
        const lines = linesOf(page);
        for (const line of lines) expect([...line].length).toBeLessThanOrEqual(80);
        if (!page.text.includes("\t")) {
          expect(lines.join("").replaceAll("\n", "")).toBe(page.text.replaceAll("\n", ""));
        }
        expect(withoutLinks(lines.join("\n")).split("\n")).toHaveLength(lines.length);
        for (const { line } of findPage("word", page).links)
          expect(lines[line!]!.toLowerCase()).toContain("word");
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });

  test("stays as fast as it is long", async () => {
    const size = 100_000 * Math.min(10, Number(process.env["FUZZ_RUNS"] ?? 1));
    const repeated = (text: string) => text.repeat(Math.ceil(size / text.length));
    const pages = [
      repeated("<div>"),
      repeated("<b>"),
      repeated("<blockquote>"),
      repeated("<ul><li>"),
      repeated("<a href=/x>"),
      repeated("<a href=/x><div>"),
      repeated("<a href=/x>x<div>"),
      repeated("</div>"),
      repeated("<p></div>"),
      repeated("<"),
      repeated("&"),
      repeated("<!--"),
      repeated("a<a<"),
      repeated("<a href='"),
      repeated("<p a=b "),
      repeated("<sup>2</sup>"),
      repeated("\n"),
      repeated(" \n"),
      repeated("\n "),
      repeated(" "),
      repeated("x"),
      repeated("x-"),
      repeated("-"),
      repeated("a--"),
      repeated("字"),
      repeated("\t"),
      repeated("【1†"),
      repeated("【1†x】"),
      repeated("†"),
      repeated("<s>~"),
      repeated("\\"),
      repeated("1."),
      `<pre>${"<blockquote>".repeat(500)}${repeated("\n")}`,
      `<abbr title=x>${repeated("a ")}`,
      repeated("<abbr title=x>a</abbr>"),
      repeated("<title>x</title>"),
      repeated("<table><tr><td>"),
      `<a href="${repeated("a")}">x</a>`,
      `<img alt="${repeated("a ")}">`,
      repeated("<img>"),
    ];
    let slowest = { ms: 0, page: "" };
    for (const source of pages) {
      const started = performance.now();
      for (const page of [await htmlPage(source, URL_).catch(() => undefined), textPage(source, URL_)]) {
        if (!page) continue;
        expect(page.text.length).toBeLessThan(MAX_TEXT + 100);
        findPage("zebra", page);
      }
      const ms = performance.now() - started;
      if (ms > slowest.ms) slowest = { ms, page: source.slice(0, 40) };
    }
    // what grows with the square takes far longer
    expect(slowest.ms, slowest.page).toBeLessThan(20_000);
  }, 120_000);

  test("of ten megabytes is cut, and says so", async () => {
    const page = await htmlPage(`<p>${"some words, ".repeat(800_000)}`, URL_);
    expect(page.text.length).toBeLessThan(MAX_TEXT + 100);
    expect(page.text).toMatch(/longer than this\.\]$/);
    expect(linesOf(page).length).toBeGreaterThan(10_000);
  });
});

describe("any call", () => {
  const backend: BrowserBackend = {
    name: "web",
    search: async (query) => [{ url: URL_, title: query, summary: query }],
    fetch: async (url) => {
      if (!url.startsWith("https:")) throw new Error("no such page");
      return { url, content: "<title>T</title><p>word <a href=x>link</a>", kind: "html" };
    },
  };
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 1 }),
    fc.integer({ min: -3, max: 5 }),
    fc.constantFrom(-1, 0, 1, 1e308, 2 ** 53, true, null, URL_, "0", "constructor", "__proto__"),
  );
  const key = fc.constantFrom(
    "id",
    "cursor",
    "loc",
    "num_lines",
    "view_source",
    "source",
    "query",
    "pattern",
    "topn",
    "__proto__",
    "x",
  );
  const content = fc.oneof(
    fc.dictionary(key, value).map((args) => JSON.stringify(args)),
    fc.string(),
    fc.json(),
  );
  const name = fc.constantFrom("search", "open", "find", "open", "close", "", "constructor", "__proto__");

  test("is answered, and cursors count up by one", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, content), { maxLength: 12 }), async (calls) => {
        const browser = browserTool({ backend });
        for (const [called, text] of calls) {
          const before = browser.urls.length;
          const call = { recipient: `browser.${called}`, function: called, content: text };
          const result = await browser.call(call, { signal: never });
          expect(browser.urls.length).toBe(result.isError ? before : before + 1);
          expect(result.text.startsWith(`[${before}] `)).toBe(!result.isError);
        }
      }),
      { numRuns: RUNS, seed: SEED },
    );
  });

  test("rejects with the reason of an aborted signal", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const hanging: BrowserBackend = {
      name: "web",
      search: (_query, { signal }) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("x")))),
      fetch: () => Promise.reject(new Error("unused")),
    };
    const call = { recipient: "browser.search", function: "search", content: '{"query": "x"}' };
    const pending = browserTool({ backend: hanging }).call(call, { signal: controller.signal });
    controller.abort(reason);
    await expect(pending).rejects.toBe(reason);
    await expect(browserTool({ backend }).call(call, { signal: controller.signal })).rejects.toBe(reason);
  });
});

describe("any answer's citations", () => {
  const urls = ["", "https://a.example/x", "https://b.example/y z"];
  const piece = fc.oneof(
    fc.constantFrom(
      "【",
      "】",
      "†",
      "1",
      "2",
      "L3",
      "-L4",
      "【1†L3】",
      "【2†L3-L4†b】",
      "【9†x】",
      "【01†x】",
      "\n",
      "word ",
    ),
    fc.string({ unit: "binary", maxLength: 4 }),
    fc.integer({ min: 200, max: 300 }).map((n) => "x".repeat(n)),
  );

  test("come out of a stream as of the whole, however it is cut", () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 25 }),
        fc.array(fc.nat(400), { maxLength: 12 }),
        (pieces, cuts) => {
          const text = pieces.join("");
          const whole = resolveCitations(text, urls);
          const stream = citationStream(() => urls);
          const places = [
            0,
            ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b),
            text.length,
          ];
          const parts = places.slice(1).map((place, i) => stream.push(text.slice(places[i], place)));
          parts.push(stream.end());
          expect(parts.map((part) => part.text).join("")).toBe(whole.text);
          expect(parts.flatMap(({ citations }) => citations)).toEqual(whole.citations);
          for (const { start, end, title, url } of whole.citations) {
            expect(whole.text.slice(start, end)).toBe(` ([${title}](${url})) `);
          }
        },
      ),
      { numRuns: 3 * RUNS, seed: SEED },
    );
  });

  test("wait while open, but no longer than a citation can be", () => {
    const stream = citationStream(() => urls);
    expect(stream.push("see 【1†L3").text).toBe("see ");
    expect(stream.push("】.")).toEqual({
      text: " ([a.example](https://a.example/x)) .",
      citations: [
        { start: 4, end: 40, url: "https://a.example/x", title: "a.example", cursor: 1, lines: [3, 3] },
      ],
    });
    let shown = stream.push("【1†").text;
    for (let i = 0; i < 100; i++) shown += stream.push("more text ").text;
    expect(shown.length).toBeGreaterThan(700);
  });

  test("long answers take no longer than they are long", () => {
    const started = performance.now();
    for (const text of ["【1†", "【", "【1", "【1†x†", "【1†L3】"]) {
      resolveCitations(text.repeat(200_000), urls);
      const stream = citationStream(() => urls);
      for (let i = 0; i < 20_000; i++) stream.push(text);
      stream.end();
    }
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

test("any text wraps without loss", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 400 }), (text) => {
      const lines = wrapLines(text.replaceAll("\t", " "));
      expect(lines.join("").replaceAll("\n", "")).toBe(text.replaceAll("\t", " ").replaceAll("\n", ""));
    }),
    { numRuns: RUNS, seed: SEED },
  );
});
