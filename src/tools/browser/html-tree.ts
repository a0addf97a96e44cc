import type { TokenizerCallbacks } from "htmlparser2";
import { unforged } from "./brackets.ts";

/** An element, or with the name `!` a comment. Text next to text may lie in several strings. */
export interface HtmlElement {
  readonly name: string;
  /** Only those that a page's text depends on. */
  readonly attributes: ReadonlyMap<string, string>;
  children: (HtmlElement | string)[];
}

const ATTRIBUTES = new Set(["alt", "href", "start", "title"]);
/** Deeper elements become siblings: what comes after walks the tree, and nothing that people read is nested so deep. */
const MAX_DEPTH = 512;

const words = (text: string): ReadonlySet<string> => new Set(text.split(" "));
const VOID = words("area base basefont br col frame hr img input isindex link meta param");
const IN_HEAD = words("base link meta script style title");
const HEADING = words("fieldset form li p table");
const MENU = words("dd dl dt form ul");
const PREFORMATTED = words("dd dl dt fieldset form li table ul");
const CELL = words("tbody td tfoot th tr");
const P = words("p");

/** Elements, and the opening tags that end them where they are innermost: `htmlStartClose` of libxml2 2.14, as measured. */
const ENDED_BY: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries({
    a: words("a fieldset table td th"),
    address: words("dd dl dt form li ul"),
    b: words("center p td th"),
    big: P,
    caption: words("col colgroup tbody tfoot thead tr"),
    colgroup: words("colgroup tbody tfoot thead tr"),
    dd: words("dt"),
    dir: MENU,
    dl: words("form li"),
    dt: words("dd dl"),
    font: words("center td th"),
    form: words("form"),
    h1: HEADING,
    h2: HEADING,
    h3: HEADING,
    h4: HEADING,
    h5: HEADING,
    h6: HEADING,
    i: words("center p td th"),
    legend: words("fieldset"),
    li: words("li"),
    listing: PREFORMATTED,
    menu: MENU,
    ol: words("form"),
    option: words("optgroup option"),
    p: words(
      "address blockquote caption center col colgroup dd dir div dl dt fieldset form h1 h2 h3 h4 h5 h6 hr li listing menu " +
        "ol p pre table tbody td tfoot th title tr ul xmp",
    ),
    pre: PREFORMATTED,
    s: P,
    small: P,
    span: words("td th"),
    strike: P,
    tbody: words("tbody tfoot"),
    td: CELL,
    tfoot: words("tbody"),
    th: CELL,
    thead: words("tbody tfoot"),
    tr: words("tbody tfoot tr"),
    tt: P,
    u: words("p td th"),
    ul: words("address form menu pre"),
  }),
);

/** A closing tag ends no element of a higher rank than its own: `htmlEndPriority` of libxml2. */
const RANK: ReadonlyMap<string, number> = new Map(
  Object.entries({
    div: 150,
    td: 160,
    th: 160,
    tr: 170,
    thead: 180,
    tbody: 180,
    tfoot: 180,
    table: 190,
    head: 200,
    body: 200,
    html: 220,
  }),
);
const rank = (name: string): number => RANK.get(name) ?? 100;

/**
 * HTML as a tree, by the rules of libxml2, on which the reference stands: simpler than those of HTML5, they move nothing
 * about. Brackets that entities stand for are unforged. Takes any text, in time linear in its length; never throws on what is
 * malformed.
 */
export async function parseHtml(html: string): Promise<HtmlElement> {
  const { Tokenizer } = await import("htmlparser2");
  const source = html.replace(/\r\n?/g, "\n").replaceAll("\0", "\ufffd");
  const builder = new TreeBuilder(source);
  const tokenizer = new Tokenizer({ decodeEntities: true, recognizeSelfClosing: true }, builder);
  tokenizer.write(source);
  tokenizer.end();
  return builder.root;
}

class TreeBuilder implements TokenizerCallbacks {
  readonly root = element("html");
  readonly #source: string;
  readonly #open: HtmlElement[] = [this.root];
  #hasHead = false;
  #hasBody = false;
  #name = "";
  #attributes: Map<string, string> | undefined;
  #attribute = "";
  #value = "";

  constructor(source: string) {
    this.#source = source;
  }

  ontext(start: number, end: number): void {
    this.#text(this.#source.slice(start, end));
  }

  ontextentity(codePoint: number): void {
    this.#text(unforged(String.fromCodePoint(codePoint)));
  }

  onopentagname(start: number, end: number): void {
    this.#name = this.#source.slice(start, end).toLowerCase();
    this.#attributes = undefined;
  }

  onattribname(start: number, end: number): void {
    // a name may be as long as the page
    this.#attribute = end - start > 8 ? "" : this.#source.slice(start, end).toLowerCase();
    this.#value = "";
  }

  onattribdata(start: number, end: number): void {
    if (ATTRIBUTES.has(this.#attribute)) this.#value += this.#source.slice(start, end);
  }

  onattribentity(codePoint: number): void {
    if (ATTRIBUTES.has(this.#attribute)) this.#value += unforged(String.fromCodePoint(codePoint));
  }

  onattribend(): void {
    if (!ATTRIBUTES.has(this.#attribute)) return;
    this.#attributes ??= new Map();
    if (!this.#attributes.has(this.#attribute)) this.#attributes.set(this.#attribute, this.#value);
  }

  onopentagend(): void {
    this.#start(false);
  }

  onselfclosingtag(): void {
    this.#start(true);
  }

  onclosetag(start: number, end: number): void {
    const name = this.#source.slice(start, end).toLowerCase();
    for (let i = this.#open.length - 1; i > 0; i--) {
      const open = this.#open[i]!.name;
      if (open === name) {
        this.#open.length = i;
        return;
      }
      if (rank(open) > rank(name)) return;
    }
  }

  oncomment(): void {
    if (this.#open.length > 1 || this.#hasBody) this.#parent.children.push(element("!"));
  }

  oncdata(): void {}
  ondeclaration(): void {}
  onprocessinginstruction(): void {}
  onend(): void {}

  get #parent(): HtmlElement {
    return this.#open.at(-1)!;
  }

  #start(isEmpty: boolean): void {
    const name = this.#name;
    while (this.#open.length > 1 && ENDED_BY.get(this.#parent.name)?.has(name)) this.#open.pop();
    if (name === "html") return;
    if (name === "head") {
      if (!this.#hasHead && !this.#hasBody) this.#enterHead();
      return;
    }
    if (name === "body") {
      if (!this.#hasBody) this.#enterBody();
      return;
    }
    const isTop = this.#open.length === 1 || this.#parent.name === "head";
    if (isTop && !this.#hasBody) {
      if (!IN_HEAD.has(name)) this.#enterBody();
      else if (!this.#hasHead) this.#enterHead();
    }
    const added = element(name, this.#attributes);
    this.#parent.children.push(added);
    if (!isEmpty && !VOID.has(name) && this.#open.length < MAX_DEPTH) this.#open.push(added);
  }

  #text(text: string): void {
    const isTop = this.#open.length === 1 || this.#parent.name === "head";
    if (isTop && !this.#hasBody) {
      if (!/[^ \t\n\f]/.test(text)) return;
      this.#enterBody();
    }
    this.#parent.children.push(text);
  }

  #enterHead(): void {
    this.#hasHead = true;
    this.#enter("head");
  }

  #enterBody(): void {
    this.#hasBody = true;
    this.#enter("body");
  }

  #enter(name: string): void {
    this.#open.length = 1;
    const entered = element(name);
    this.root.children.push(entered);
    this.#open.push(entered);
  }
}

const NONE: ReadonlyMap<string, string> = new Map();

function element(name: string, attributes = NONE): HtmlElement {
  return { name, attributes, children: [] };
}

/** An element at its place in a tree. */
export interface Visit {
  readonly element: HtmlElement;
  readonly parent: HtmlElement;
  readonly index: number;
  /** To be set where what is inside is of no interest. */
  isDone: boolean;
}

/** Elements of a tree in document order, the root left out. What is replaced meanwhile is not entered. */
export function* descendants(root: HtmlElement): Generator<Visit> {
  const stack = [{ parent: root, index: 0 }];
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const child = top.parent.children[top.index];
    if (child === undefined) {
      stack.pop();
      continue;
    }
    const index = top.index++;
    if (typeof child === "string") continue;
    const visit: Visit = { element: child, parent: top.parent, index, isDone: false };
    yield visit;
    if (!visit.isDone && top.parent.children[index] === child) stack.push({ parent: child, index: 0 });
  }
}

/** The texts inside an element, each as long as no tag or comment interrupts it. */
export function texts(root: HtmlElement): string[] {
  const found: string[] = [];
  let text = "";
  const end = () => {
    if (text) found.push(text);
    text = "";
  };
  const stack = [{ parent: root, index: 0 }];
  while (stack.length > 0) {
    const top = stack.at(-1)!;
    const child = top.parent.children[top.index++];
    if (typeof child === "string") {
      text += child;
      continue;
    }
    end();
    if (child === undefined) stack.pop();
    else stack.push({ parent: child, index: 0 });
  }
  return found;
}
