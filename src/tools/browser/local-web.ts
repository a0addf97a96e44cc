import type { BrowserBackend } from "./backend.ts";
import { descendants, parseHtml, texts } from "./html-tree.ts";
import { mergeSpaces, strip } from "./python.ts";

/** A page of a web that is at hand. */
export interface LocalPage {
  readonly url: string;
  readonly title: string;
  readonly html: string;
}

/** Hits that a search shows, whatever is asked for: the little model was trained so. */
const HITS = 5;

interface Indexed {
  readonly page: LocalPage;
  readonly words: ReadonlySet<string>;
  readonly summary: string;
}

/**
 * A fixed web, for offline use and demonstrations: pages, or a folder with an `index.json` of `[{ url, title, file }]`, such as
 * golden/web, whose README states how it is searched. Rejects on addresses that it hasn't; folders need Node.js, Deno or Bun.
 */
export function localWeb(source: string | URL | readonly LocalPage[]): BrowserBackend {
  let indexing: Promise<readonly Indexed[]> | undefined;
  const index = () => {
    indexing ??= indexPages(source);
    return indexing;
  };
  return {
    name: "web",
    async search(query, { topn }) {
      const sought = [...wordsOf(query)];
      const scored = (await index()).map(({ page, words, summary }) => ({
        hit: { url: page.url, title: page.title, summary },
        score: sought.filter((word) => words.has(word)).length,
      }));
      return scored
        .filter(({ score }) => score > 0)
        .sort((a, b) => b.score - a.score)
        .slice(0, Math.min(topn, HITS))
        .map(({ hit }) => hit);
    },
    async fetch(url) {
      const found = (await index()).find(({ page }) => page.url === url);
      if (!found) throw new Error(`No contents returned for ${url}`);
      return { url, content: found.page.html, kind: "html" };
    },
  };
}

async function indexPages(source: string | URL | readonly LocalPage[]): Promise<readonly Indexed[]> {
  const isFolder = typeof source === "string" || source instanceof URL;
  const pages = isFolder ? await (await import("./local-web-node.ts")).readLocalWeb(source) : source;
  return Promise.all(
    pages.map(async (page) => {
      const paragraphs: string[] = [];
      for (const { element } of descendants(await parseHtml(page.html))) {
        if (element.name === "p") paragraphs.push(strip(mergeSpaces(texts(element).join(" "))));
      }
      return { page, words: wordsOf([page.title, ...paragraphs].join(" ")), summary: paragraphs[0] ?? "" };
    }),
  );
}

function wordsOf(text: string): Set<string> {
  return new Set(text.toLowerCase().match(/[a-z0-9]+/g));
}
