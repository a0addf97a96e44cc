import MarkdownIt, { type Token } from "markdown-it";

/*
 * Markdown to DOM without ever writing HTML: markdown-it parses, and elements are made here, of the few kinds listed, with
 * text as text. HTML in the source is text; pictures, which would tell other hosts of the reader, become links.
 */

const parser = new MarkdownIt("default", { html: false, linkify: false });
const ELEMENTS: ReadonlySet<string> = new Set(
  "p h1 h2 h3 h4 h5 h6 ul ol li blockquote hr table thead tbody tr th td strong em s a".split(" "),
);
/** Characters of a paragraph; the parser takes quadratic time for nonsense, and longer ones are shown as they are. */
const LONGEST = 20_000;
const SAFE_ADDRESS = /^(?:https?|mailto):/i;

/** Where a block stands: what `updateMarkdown` keeps when it hasn't changed. */
interface Block {
  readonly source: string;
  /** None: the source is shown as it is. */
  readonly tokens: readonly Token[];
}

const shown: WeakMap<Element, readonly string[]> = new WeakMap();

/** Shows a text that may have grown: blocks that haven't changed keep their elements, and with them what is selected there. */
export function updateMarkdown(parent: Element, text: string): void {
  const blocks = blocksOf(text);
  const before = shown.get(parent) ?? [];
  let same = 0;
  while (same < blocks.length && before[same] === blocks[same]!.source) same++;
  while (parent.childNodes.length > same) parent.lastChild!.remove();
  for (const { tokens, source } of blocks.slice(same)) {
    const root = parent.ownerDocument.createElement("div");
    if (tokens.length > 0) build(root, tokens);
    else root.textContent = source;
    parent.append(root);
  }
  shown.set(
    parent,
    blocks.map(({ source }) => source),
  );
}

function blocksOf(text: string): Block[] {
  const paragraphs = text.split(/\n\s*\n/);
  if (paragraphs.some(({ length }) => length > LONGEST)) return [{ source: text, tokens: [] }];
  const lines = text.split("\n");
  const environment: Parameters<typeof parser.parse>[1] = {};
  const tokens = parser.parse(text, environment);
  const references = JSON.stringify(environment.references ?? {}); // they may stand below what refers to them
  const blocks: { source: string; tokens: Token[] }[] = [];
  for (const token of tokens) {
    if (token.level === 0 && token.nesting >= 0) {
      const [from, to] = token.map ?? [0, 0];
      const source = `${token.type} ${references} ${lines.slice(from, to).join("\n")}`;
      blocks.push({ source, tokens: [] });
    }
    blocks.at(-1)!.tokens.push(token);
  }
  return blocks;
}

function build(root: Element, tokens: readonly Token[]): void {
  const document = root.ownerDocument;
  let at = root;
  for (const token of tokens) {
    if (token.children && token.type === "inline") build(at, token.children);
    else if (token.nesting === 1) {
      const element = document.createElement(ELEMENTS.has(token.tag) ? token.tag : "span");
      setAttributes(element, token);
      at.append(element);
      at = element;
    } else if (token.nesting === -1) at = at.parentElement ?? root;
    else at.append(leaf(document, token));
  }
}

function leaf(document: Document, token: Token): Node {
  const element = (name: string, text: string): HTMLElement => {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  };
  switch (token.type) {
    case "softbreak":
      return document.createTextNode("\n");
    case "hardbreak":
      return document.createElement("br");
    case "hr":
      return document.createElement("hr");
    case "code_inline":
      return element("code", token.content);
    case "fence":
    case "code_block": {
      const block = document.createElement("pre");
      block.tabIndex = 0; // wide code can be scrolled by keys
      block.append(element("code", token.content));
      return block;
    }
    case "image":
      return link(element("a", token.content || "picture"), token.attrGet("src"));
    default:
      return document.createTextNode(token.content);
  }
}

function setAttributes(element: HTMLElement, token: Token): void {
  if (token.tag === "a") link(element, token.attrGet("href"));
  const start = Number(token.attrGet("start"));
  if (token.tag === "ol" && start > 0) element.setAttribute("start", String(start));
  const align = /^text-align:(left|center|right)$/.exec(String(token.attrGet("style")))?.[1];
  if (align) element.classList.add(align);
}

function link(element: HTMLElement, address: string | number | null): HTMLElement {
  if (!SAFE_ADDRESS.test(String(address))) return element;
  element.setAttribute("href", String(address));
  element.setAttribute("target", "_blank");
  element.setAttribute("rel", "noopener noreferrer nofollow");
  return element;
}
