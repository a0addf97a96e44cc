import { Window } from "happy-dom";
import { expect, test } from "vitest";
import { updateMarkdown } from "../../../src/server/page/client/markdown.ts";

const window = new Window();
const target = (): HTMLElement => window.document.createElement("div") as unknown as HTMLElement;

function shown(text: string): HTMLElement {
  const element = target();
  updateMarkdown(element, text);
  return element;
}

test("what people write in Markdown becomes elements", () => {
  const { innerHTML } = shown(
    "# A *title*\n\nOne\ntwo `code` &amp; **three**\n\n3. c\n4. d\n\n| a | b |\n|---|--:|\n| 1 | ~~2~~ |\n\n```js\nlet a;\n```\n\n> said",
  );
  expect(innerHTML).toContain("<h1>A <em>title</em></h1>");
  expect(innerHTML).toContain("<p>One\ntwo <code>code</code> &amp; <strong>three</strong></p>");
  expect(innerHTML).toContain('<ol start="3"><li><p>c</p></li><li><p>d</p></li></ol>');
  expect(innerHTML).toContain('<td>1</td><td class="right"><s>2</s></td>');
  expect(innerHTML).toContain('<pre tabindex="0"><code>let a;\n</code></pre>');
  expect(innerHTML).toContain("<blockquote><p>said</p></blockquote>");
});

const ALLOWED =
  "div p h1 h2 h3 h4 h5 h6 ul ol li blockquote hr br table thead tbody tr th td strong em s a code pre span";

test.each([
  "<img src=x onerror=alert(1)>",
  "<script>alert(1)</script>",
  '<div style="background:url(http://192.0.2.1)">\n\ntext',
  "```html\n<iframe src=javascript:alert(1)></iframe>\n```",
  '```x" onload="alert(1)\n```',
  "[a](javascript:alert(1)) [b](JaVaScRiPt:alert(1)) [c](data:text/html,x) [d](vbscript:x) [e](/relative) [f](&#106;avascript:alert(1))",
  "![a](javascript:alert(1)) ![b](http://192.0.2.1/pixel)",
  "<javascript:alert(1)> <https://example.com/'onclick=alert(1)>",
  '[x](https://example.com "title onmouseover=alert(1)")',
  "[x]: javascript:alert(1)\n\n[x]",
  "<svg><a xlink:href=javascript:alert(1)>",
  "| <style>*{}</style> |\n|---|\n| <form action=//192.0.2.1> |",
])("nothing comes alive of %j", (text) => {
  const elements = Array.from(shown(text).querySelectorAll("*"));
  for (const { localName, attributes } of elements) {
    expect(ALLOWED.split(" ")).toContain(localName);
    for (const { name, value } of Array.from(attributes)) {
      expect(["href", "target", "rel", "start", "class", "tabindex"]).toContain(name);
      if (name === "href") expect(value).toMatch(/^(?:https?|mailto):/);
    }
  }
  expect(elements.length).toBeGreaterThan(0);
});

test("HTML is shown as it was written", () => {
  expect(shown("a <b>c</b>").textContent).toBe("a <b>c</b>");
});

test("however a text is cut into pieces, the outcome is that of the whole", () => {
  const text =
    "Some *text*\n\n- one\n- two\n  more\n\n```\ncode\n\nmore\n```\n\nTitle\n===\n\n| a |\n|---|\n| b |\n\n[link][1]\n\n[1]: https://example.com";
  const element = target();
  for (let end = 1; end <= text.length; end++) updateMarkdown(element, text.slice(0, end));
  expect(element.innerHTML).toBe(shown(text).innerHTML);
});

test("blocks that are whole keep their elements while the text grows", () => {
  const element = shown("first\n\nsec");
  const [first, second] = Array.from(element.children);
  updateMarkdown(element, "first\n\nsecond\n\nthird");
  expect(element.children[0]).toBe(first);
  expect(element.children[1]).not.toBe(second);
  expect(element.textContent).toBe("firstsecondthird");
});

test("paragraphs beyond all measure are shown as they are", () => {
  const text = `*a*\n\n${"[".repeat(50_000)}${"*".repeat(50_000)}`;
  expect(shown(text).innerHTML).toBe(`<div>${text}</div>`);
});
