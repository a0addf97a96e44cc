import type { HtmlElement } from "./html-tree.ts";
import { mergeSpaces, SPACE, strip, WORD } from "./python.ts";

type Token = string | { readonly name: string; readonly isStart: boolean; readonly element: HtmlElement };

const ONE_WORD = new RegExp(`^[${WORD}-]+$`, "u");
const ENDS_IN_WORD = new RegExp(`[${WORD}]$`, "u");
const BEGINS_WITH_WORD = new RegExp(`^[${WORD}]`, "u");
const EMPTY_LINES = new RegExp(`(?<![^\\n])[${SPACE}]+(?![^\\n])`, "gu");
const EXTRA_NEWLINES = new RegExp(`\\n[${SPACE}]*\\n`, "gu");
/** What XML can't hold, in which the reference keeps its trees. */
const CONTROL = "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f";
const CONTROLS = new RegExp(`^[${CONTROL}]`);
const PARTS = new RegExp(`[&<>${CONTROL}]|[^&<>${CONTROL}]+`, "g");
const SLASHED = /\\(?=[\\`*_{}[\]()#+\-.!])/g;
/** At the start of a line: what Markdown would take for an item or a rule. */
const LINE_START = new RegExp(
  `((?:^|(?<![${SPACE}])(?=[${SPACE}]))[${SPACE}]*)(-(?=[${SPACE}-])|\\+(?=[${SPACE}])|\\p{Nd}+(?=\\.[${SPACE}]))`,
  "gu",
);
const PUNCTUATION = new RegExp(`[\\]\\[(){}.!?${SPACE}]`, "u");

/**
 * The text of a tree, as `html_to_text` of gpt_oss/tools/simple_browser/page_contents.py makes it: html2text 2025.4.15 without
 * links, images, emphasis, tables and wrapping. No longer than about `limit` characters; time and memory are linear in the
 * tree and the limit.
 */
export function treeText(root: HtmlElement, limit: number): string {
  const printer = new Printer(limit);
  for (const token of spaced(tokens(root))) {
    if (printer.isFull) break;
    if (typeof token === "string") printer.text(token);
    else if (token.name !== "!") printer.tag(token.name, token.isStart, token.element);
  }
  return strip(printer.finish()).replace(EMPTY_LINES, "").replace(EXTRA_NEWLINES, "\n\n");
}

/** Tags and texts in order; `<sup>2</sup>` as `^{2}` and `<sub>2</sub>` as `_{2}`. */
function* tokens(root: HtmlElement): Generator<Token> {
  const stack = [{ element: root, index: 0 }];
  yield { name: root.name, isStart: true, element: root };
  let text = "";
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const child = top.element.children[top.index++];
    const raised = typeof child === "object" && script(child);
    if (typeof child === "string" || raised) {
      text += raised || child;
      continue;
    }
    if (text) yield text;
    text = "";
    if (child === undefined) {
      stack.pop();
      yield { name: top.element.name, isStart: false, element: top.element };
    } else {
      yield { name: child.name, isStart: true, element: child };
      stack.push({ element: child, index: 0 });
    }
  }
}

function script({ name, children }: HtmlElement): string | false {
  if ((name !== "sup" && name !== "sub") || children.length !== 1) return false;
  const text = children[0]!;
  return typeof text === "string" && ONE_WORD.test(text) && `${name === "sup" ? "^" : "_"}{${text}}`;
}

/** Puts a space where nothing but tags stands between two words, such as the cells of a table. */
function* spaced(all: Iterable<Token>): Generator<Token> {
  let text = "";
  let tags: Token[] = [];
  for (const token of all) {
    if (typeof token !== "string") {
      tags.push(token);
      continue;
    }
    const touches = tags.length > 0 && ENDS_IN_WORD.test(text.slice(-2)) && BEGINS_WITH_WORD.test(token);
    if (text) yield touches ? `${text} ` : text;
    yield* tags;
    tags = [];
    text = token;
  }
  if (text) yield text;
  yield* tags;
}

/** The state machine of html2text, reduced to what the reference asks of it; names as there. */
class Printer {
  readonly #limit: number;
  #out: string[] = [];
  #length = 0;
  #quiet = 0;
  /** Line breaks due ahead of the next output. */
  #breaks = 0;
  #breakPrefix = "";
  #isAtStart = true;
  #spaceIsDue = false;
  #endsInNewline = false;
  readonly #lists: { name: string; number: number }[] = [];
  #listIndent = "";
  #wasList = false;
  #quotes = 0;
  #isPre = false;
  #isPreStart = false;
  #isCode = false;
  #isStressed = false;
  #wasStressed = false;
  #precedingData = "";
  #tag = "";
  #abbreviated: string | undefined;
  #abbreviationTitle: string | undefined;
  readonly #abbreviations = new Map<string, string>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get isFull(): boolean {
    return this.#length > this.#limit;
  }

  /** Python's parser hands out the text between entities and the entities themselves one by one, and it shows. */
  text(text: string): void {
    for (const [part] of text.matchAll(PARTS)) this.#data(CONTROLS.test(part) ? "\ufffd" : part);
  }

  tag(name: string, isStart: boolean, element: HtmlElement): void {
    this.#tag = name;
    const heading = headingLevel(name);
    if (heading > 0) {
      this.#breaks = 2;
      if (!isStart) return;
      this.#print(`${"#".repeat(heading)} `);
    }
    switch (name) {
      case "p":
      case "div":
        this.#breaks = 2;
        break;
      case "br":
        if (isStart) this.#print(this.#quotes > 0 ? "  \n> " : "  \n");
        break;
      case "hr":
        if (!isStart) break;
        this.#breaks = 2;
        this.#print("* * *");
        this.#breaks = 2;
        break;
      case "head":
      case "style":
      case "script":
        this.#quiet += isStart ? 1 : -1;
        break;
      case "body":
        this.#quiet = 0;
        break;
      case "blockquote":
        this.#blockquote(isStart);
        break;
      case "del":
      case "strike":
      case "s":
        this.#strike(isStart);
        break;
      case "kbd":
      case "code":
      case "tt":
        if (this.#isPre) break;
        this.#print("`");
        this.#isCode = !this.#isCode;
        break;
      case "abbr":
        this.#abbreviation(isStart, element);
        break;
      case "q":
        this.#print('"');
        break;
      case "dl":
        if (isStart) this.#breaks = 2;
        break;
      case "dt":
        if (!isStart) this.#lineBreak();
        break;
      case "dd":
        if (isStart) this.#print("    ");
        else this.#lineBreak();
        break;
      case "li":
        this.#item(isStart);
        break;
      case "tr":
        if (isStart) break;
        this.#lineBreak();
        this.#breakPrefix = "  ";
        break;
      case "pre":
        this.#isPre = isStart;
        if (isStart) this.#isPreStart = true;
        this.#breaks = 2;
        break;
    }
    const isList = name === "ol" || name === "ul";
    if (isList) this.#list(name, isStart, element);
    this.#wasList = isList;
  }

  finish(): string {
    this.#lineBreak();
    this.#print("", "end");
    return this.#out.join("");
  }

  #data(data: string): void {
    let text = data;
    if (this.#isStressed) {
      text = strip(text);
      this.#isStressed = false;
      this.#wasStressed = true;
    } else if (this.#wasStressed) {
      const isGlued = !PUNCTUATION.test(text[0]!) && headingLevel(this.#tag) === 0;
      if (isGlued && !["a", "code", "pre"].includes(this.#tag)) text = ` ${text}`;
      this.#wasStressed = false;
    }
    if (!this.#isCode && !this.#isPre && text) text = escapeMarkdown(text);
    this.#precedingData = text;
    this.#print(text, "data");
  }

  #lineBreak(): void {
    if (this.#breaks === 0) this.#breaks = 1;
  }

  #blockquote(isStart: boolean): void {
    if (isStart) {
      this.#breaks = 2;
      this.#print("> ", "force");
      this.#isAtStart = true;
      this.#quotes++;
    } else {
      this.#quotes--;
      this.#breaks = 2;
    }
  }

  #strike(isStart: boolean): void {
    const touches = isStart && this.#precedingData.endsWith("~");
    if (touches) this.#precedingData += " ";
    this.#print(touches ? " ~~" : "~~");
    if (isStart) this.#isStressed = true;
  }

  #abbreviation(isStart: boolean, { attributes }: HtmlElement): void {
    if (isStart) {
      this.#abbreviationTitle = attributes.get("title");
      this.#abbreviated = "";
      return;
    }
    if (this.#abbreviationTitle !== undefined) {
      this.#abbreviations.set(this.#abbreviated ?? "", this.#abbreviationTitle);
    }
    this.#abbreviationTitle = undefined;
    this.#abbreviated = undefined;
  }

  #list(name: string, isStart: boolean, { attributes }: HtmlElement): void {
    if (this.#lists.length === 0 && !this.#wasList) this.#breaks = 2;
    if (isStart) {
      const first = attributes.get("start");
      this.#lists.push({ name, number: first && /^\s*[+-]?\d{1,9}\s*$/.test(first) ? Number(first) - 1 : 0 });
    } else if (this.#lists.length > 0) {
      this.#lists.pop();
      if (this.#lists.length === 0) this.#print("\n");
    }
  }

  #item(isStart: boolean): void {
    this.#listIndent = "";
    this.#lineBreak();
    if (!isStart) return;
    const list = this.#lists.at(-1) ?? { name: "ul", number: 0 };
    for (const [i] of this.#lists.entries()) {
      this.#listIndent += this.#lists[i - 1]?.name === "ol" ? "   " : "  ";
    }
    this.#print(this.#listIndent);
    if (list.name === "ul") {
      this.#listIndent += "  ";
      this.#print("* ");
    } else {
      list.number++;
      this.#listIndent += "   ";
      this.#print(`${list.number}. `);
    }
    this.#isAtStart = true;
  }

  #print(data: string, kind: "markup" | "data" | "force" | "end" = "markup"): void {
    if (this.#abbreviated !== undefined) this.#abbreviated += data;
    if (this.#quiet > 0 || this.isFull) return;
    let text = data;
    if (kind === "data" && !this.#isPre) {
      text = mergeSpaces(text);
      if (text.startsWith(" ")) {
        this.#spaceIsDue = true;
        text = text.slice(1);
      }
    }
    if (!text && kind !== "force" && kind !== "end") return;

    if (this.#isPreStart && !text.startsWith("\n")) text = `\n${text}`;
    let indent = ">".repeat(this.#quotes);
    if (this.#quotes > 0 && !(kind === "force" && text.startsWith(">"))) indent += " ";
    if (this.#isPre) {
      if (this.#lists.length > 0) indent += this.#listIndent;
      indent += "    ";
      text = indented(text, indent, this.#limit);
    }
    if (this.#isPreStart) {
      this.#isPreStart = false;
      // the item's own indentation is there already
      if (this.#lists.length > 0) text = withoutLeading(text, `\n${indent}`);
    }
    if (this.#isAtStart) {
      this.#spaceIsDue = false;
      this.#breaks = 0;
      this.#isAtStart = false;
    }
    if (kind === "end") {
      this.#breaks = 0;
      this.#emit("\n");
      this.#spaceIsDue = false;
    }
    if (this.#breaks > 0) {
      this.#emit(`${this.#breakPrefix}\n${indent}`.repeat(this.#breaks));
      this.#spaceIsDue = false;
      this.#breakPrefix = "";
    }
    if (this.#spaceIsDue) {
      if (!this.#endsInNewline) this.#emit(" ");
      this.#spaceIsDue = false;
    }
    if (kind === "end") {
      for (const [short, long] of this.#abbreviations) this.#emit(`  *[${short}]: ${long}\n`);
    }
    this.#breaks = 0;
    this.#emit(text);
  }

  #emit(text: string): void {
    this.#out.push(text);
    this.#length += text.length;
    if (text) this.#endsInNewline = text.endsWith("\n");
  }
}

/** 1 to 9, as html2text has it, or 0. */
function headingLevel(name: string): number {
  return /^h[1-9]$/.test(name) ? Number(name[1]) : 0;
}

/** `text.replace("\n", "\n" + indent)`, given up where it grows past the limit: indents may be hundreds of characters. */
function indented(text: string, indent: string, limit: number): string {
  let result = "";
  let start = 0;
  for (let end = text.indexOf("\n"); end >= 0 && result.length <= limit; end = text.indexOf("\n", start)) {
    result += `${text.slice(start, end)}\n${indent}`;
    start = end + 1;
  }
  return result.length > limit ? result : result + text.slice(start);
}

/** `escape_md_section`, which the reference means to switch off and doesn't. */
function escapeMarkdown(text: string): string {
  return text
    .replace(SLASHED, "\\\\")
    .replace(LINE_START, (match, space: string, mark: string, offset: number) => {
      if (offset > 0 && !space.includes("\n")) return match;
      return mark === "-" || mark === "+" ? `${space}\\${mark}` : `${match}\\`;
    });
}

function withoutLeading(text: string, characters: string): string {
  let start = 0;
  while (start < text.length && characters.includes(text[start]!)) start++;
  return text.slice(start);
}
