import { BROWSER } from "../../harmony/index.ts";
import type { Tool, ToolCall, ToolContext, ToolResult } from "../tool.ts";
import type { BrowserBackend } from "./backend.ts";
import { type CitationStream, type CitedText, citationStream, resolveCitations } from "./citations.ts";
import { htmlPage, type Link, type Page, searchPage, textPage } from "./page.ts";
import { truncate, unquote } from "./python.ts";
import { findPage, linesOf, numbered, type ViewTokenizer, viewEnd } from "./view.ts";

export interface BrowserOptions {
  readonly backend: BrowserBackend;
  /** The model's, to size views by; without it their size is estimated. */
  readonly tokenizer?: ViewTokenizer;
  /** Size of a view where the model doesn't say how many lines it wants; 1024 if left out. */
  readonly viewTokens?: number;
  /** Hits that a search shows, whatever the model asks for, as in the reference; 20 if left out. */
  readonly maxSearchResults?: number;
}

/** The browser that gpt-oss was trained with, over the pages of one conversation. */
export interface BrowserTool extends Tool {
  /** Addresses of the pages shown, by cursor; search results have an empty one. */
  readonly urls: readonly string[];
  /** Puts links in the place of citations such as `【3†L4-L7】`. */
  resolveCitations(text: string): CitedText;
  /** The same while the answer is being written. */
  citationStream(): CitationStream;
}

const VIEW_SOURCE = "view-source:";

/** Its message is the answer to the call. */
class CallError extends Error {}

/**
 * The tool `browser`, with its functions `search`, `open` and `find`: what OpenAI's reference `SimpleBrowserTool` shows the
 * model for the same pages, but for what docs/tools.md names.
 *
 *     const browser = browserTool({ backend: searxng({ url: "https://search.example" }) });
 */
export function browserTool({
  backend,
  tokenizer,
  viewTokens = 1024,
  maxSearchResults = 20,
}: BrowserOptions): BrowserTool {
  const stack: Page[] = [];
  const known = new Map<string, Page>();
  const urls: string[] = [];
  const origins: string[] = [];

  function pageAt(cursor: number): Page {
    if (stack.length === 0) throw new CallError("No pages to access!");
    const page = cursor === -1 ? stack.at(-1) : stack[cursor];
    if (page) return page;
    const last = stack.length - 1;
    throw new CallError(`Cursor \`${cursor}\` is out of range. Available cursor indices: [0 - ${last}].`);
  }

  /** Shows a page and keeps it under the next cursor. */
  function show(page: Page, start: number, count: number): string {
    const lines = linesOf(page);
    if (start >= lines.length) {
      const most = lines.length - 1;
      throw new CallError(`Invalid location parameter: \`${start}\`. Cannot exceed page maximum of ${most}.`);
    }
    const end = viewEnd(lines, start, count, viewTokens, tokenizer);
    const cursor = stack.push(page) - 1;
    urls.push(page.url);
    origins.push(page.origin ?? page.url);
    if (!page.isFindResult && page.url) known.set(page.url, page);
    const where = page.url ? ` (${truncate(unquote(page.url))})` : "";
    const range = `viewing lines [${start} - ${end - 1}] of ${lines.length - 1}`;
    return `[${cursor}] ${page.title}${where}\n**${range}**\n\n${numbered(lines, start, end)}`;
  }

  async function load(url: string, signal: AbortSignal): Promise<Page> {
    const isSource = url.startsWith(VIEW_SOURCE);
    try {
      const fetched = await backend.fetch(isSource ? url.slice(VIEW_SOURCE.length) : url, { signal });
      if (isSource) {
        const title = fetched.title || "Source of a page";
        return { ...textPage(fetched.content, VIEW_SOURCE + fetched.url, title), origin: fetched.url };
      }
      return fetched.kind === "html"
        ? await htmlPage(fetched.content, fetched.url, fetched.title)
        : textPage(fetched.content, fetched.url, fetched.title);
    } catch (error) {
      signal.throwIfAborted();
      throw new CallError(`Error fetching URL \`${truncate(url)}\`: ${truncate(messageOf(error))}`);
    }
  }

  async function search(args: Arguments, { signal }: ToolContext): Promise<string> {
    const query = args.text("query");
    let page: Page;
    try {
      const hits = await backend.search(query, { topn: maxSearchResults, signal });
      page = await searchPage(query, hits.slice(0, maxSearchResults));
    } catch (error) {
      signal.throwIfAborted();
      throw new CallError(`Error during search for \`${truncate(query)}\`: ${truncate(messageOf(error))}`);
    }
    return show(page, 0, -1);
  }

  async function open(args: Arguments, { signal }: ToolContext): Promise<string> {
    const cursor = args.integer("cursor");
    const start = args.integer("loc");
    const count = args.integer("num_lines");
    const id = args.id();
    let page: Page | undefined;
    let link: Link | undefined;
    if (typeof id === "string") {
      page = await load(args.flag("view_source") ? VIEW_SOURCE + id : id, signal);
    } else {
      page = pageAt(cursor);
      if (id >= 0) {
        link = page.links[id];
        if (!link) throw new CallError(`Invalid link id \`${id}\`.`);
        page = link.page;
      }
      if (args.flag("view_source")) {
        const url = VIEW_SOURCE + (link ?? page!).url;
        link = undefined;
        page = known.get(url) ?? (await load(url, signal));
      }
      if (!page) {
        const { url } = link!;
        page = known.get(url);
        if (!page) {
          page = await load(url, signal);
          // where the link led to in the end may be another address
          known.set(url, page);
        }
      }
    }
    const line = link?.line ?? 0;
    return show(page, start >= 0 ? start : line > 4 ? line - 4 : line, count);
  }

  async function find(args: Arguments): Promise<string> {
    const page = pageAt(args.integer("cursor"));
    if (page.isFindResult)
      throw new CallError("Cannot run `find` on search results page or find results page");
    return show(findPage(args.text("pattern"), page), 0, -1);
  }

  const functions = new Map(Object.entries({ search, open, find }));

  return {
    namespace: {
      ...BROWSER,
      description: BROWSER.description!.replace(/sources=.*$/, `sources=${backend.name}`),
    },
    placement: "system",
    urls,
    async call(call: ToolCall, context: ToolContext): Promise<ToolResult> {
      context.signal.throwIfAborted();
      try {
        const args = Arguments.parse(call.content);
        const called = functions.get(call.function);
        if (!called) {
          throw new CallError(`{"error": ${JSON.stringify(`Unknown function: ${call.function}`)}}`);
        }
        return { text: await called(args, context) };
      } catch (error) {
        if (!(error instanceof CallError)) throw error;
        return { text: error.message, isError: true };
      }
    },
    resolveCitations: (text) => resolveCitations(text, origins),
    citationStream: () => citationStream(() => origins),
  };
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Arguments as the model wrote them. What is null counts as left out; what no function knows is ignored. */
class Arguments {
  readonly #values: Readonly<Record<string, unknown>>;

  private constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  static parse(content: string): Arguments {
    if (!content) return new Arguments({});
    let values: unknown;
    try {
      values = JSON.parse(content);
    } catch {
      // as what is no object
    }
    if (typeof values !== "object" || values === null || Array.isArray(values)) {
      throw new CallError('{"error": "Invalid function arguments"}');
    }
    return new Arguments(values as Readonly<Record<string, unknown>>);
  }

  #value(name: string): unknown {
    return (Object.hasOwn(this.#values, name) ? this.#values[name] : undefined) ?? undefined;
  }

  text(name: string): string {
    const value = this.#value(name);
    if (value === undefined) throw new CallError(`Missing argument \`${name}\``);
    if (typeof value === "object") throw wrongType(name, "a string", value);
    return String(value);
  }

  integer(name: string): number {
    const value = this.#value(name) ?? -1;
    if (!Number.isSafeInteger(value)) throw wrongType(name, "an integer", value);
    return value as number;
  }

  flag(name: string): boolean {
    const value = this.#value(name) ?? false;
    if (typeof value !== "boolean") throw wrongType(name, "a boolean", value);
    return value;
  }

  /** A link's number or an address. Digits alone are no address, so they are taken for a number. */
  id(): number | string {
    const value = this.#value("id") ?? -1;
    if (typeof value === "number" && value > 0 && !Number.isSafeInteger(value)) {
      throw new CallError(`Invalid link id \`${value}\`.`);
    }
    if (typeof value !== "string") return this.integer("id");
    return /^\d{1,9}$/.test(value) ? Number(value) : value;
  }
}

function wrongType(name: string, wanted: string, value: unknown): CallError {
  const names: Readonly<Record<string, string>> = { string: "str", boolean: "bool", number: "float" };
  const found = Array.isArray(value) ? "list" : (names[typeof value] ?? "dict");
  return new CallError(`\`${name}\` should be ${wanted}, not \`${found}\``);
}
