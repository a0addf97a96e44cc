import type { Tokenizer } from "../tokenizer/index.ts";

/**
 * The ordinary tokens of a vocabulary as a tree of bytes, in preorder: the descendants of node i are i + 1 to end[i] − 1.
 * Node 0 is the root.
 */
export interface Trie {
  /** Byte that leads to the node. */
  readonly bytes: Uint8Array;
  readonly depths: Uint16Array;
  readonly ends: Int32Array;
  /** Id of the token that ends at the node, or −1. */
  readonly tokens: Int32Array;
  /** Whether the byte of the node or of a descendant is a quotation mark. */
  readonly quotes: Uint8Array;
  /** By id: the token's bytes; undefined for control tokens and unused ids. */
  readonly texts: readonly (Uint8Array | undefined)[];
  /** Bytes of the longest token. */
  readonly longest: number;
}

/** No vocabulary of this library has ids from here on. */
const MAX_IDS = 2 ** 20;

const tries = new WeakMap<Tokenizer, Trie>();

/** The tree of a tokenizer's vocabulary, made once: 0.5 s for the 200,000 tokens of gpt-oss. */
export function vocabularyTrie(tokenizer: Tokenizer): Trie {
  let trie = tries.get(tokenizer);
  if (!trie) {
    trie = buildTrie(tokenizer);
    tries.set(tokenizer, trie);
  }
  return trie;
}

/** Ids below `size` that stand for no text: control tokens, and rows of the vocabulary that no token has. */
export function idsWithoutText(tokenizer: Tokenizer, size: number): number[] {
  const { texts } = vocabularyTrie(tokenizer);
  return Array.from({ length: size }, (_, id) => id).filter((id) => texts[id] === undefined);
}

function buildTrie(tokenizer: Tokenizer): Trie {
  const texts = ordinaryTokens(tokenizer);
  const ids = [...texts.keys()].filter((id) => texts[id] !== undefined);
  const keys = texts.map((text) => (text ? String.fromCharCode(...text) : ""));
  ids.sort((a, b) => (keys[a]! < keys[b]! ? -1 : 1));

  let size = 1;
  for (const id of ids) size += texts[id]!.length;
  const bytes = new Uint8Array(size);
  const depths = new Uint16Array(size);
  const tokens = new Int32Array(size).fill(-1);
  let count = 1;
  let longest = 0;
  let last: Uint8Array = new Uint8Array(0);
  for (const id of ids) {
    const text = texts[id]!;
    let shared = 0;
    while (shared < last.length && last[shared] === text[shared]) shared++;
    for (let depth = shared; depth < text.length; depth++) {
      bytes[count] = text[depth]!;
      depths[count++] = depth + 1;
    }
    tokens[count - 1] = id;
    longest = Math.max(longest, text.length);
    last = text;
  }

  const ends = new Int32Array(count);
  const quotes = new Uint8Array(count);
  const path: number[] = [];
  const close = (until: number, end: number): void => {
    while (path.length > until) {
      const node = path.pop()!;
      ends[node] = end;
      if (bytes[node] === 0x22) quotes[node] = 1;
      if (quotes[node] && path.length > 0) quotes[path.at(-1)!] = 1;
    }
  };
  for (let node = 0; node < count; node++) {
    close(depths[node]!, node);
    path.push(node);
  }
  close(0, count);
  return {
    bytes: bytes.slice(0, count),
    depths: depths.slice(0, count),
    tokens: tokens.slice(0, count),
    ends,
    quotes,
    texts,
    longest,
  };
}

function ordinaryTokens(tokenizer: Tokenizer): (Uint8Array | undefined)[] {
  const texts: (Uint8Array | undefined)[] = [];
  for (let id = 0, found = 0; found < tokenizer.size && id < MAX_IDS; id++) {
    texts.push(undefined);
    if (tokenizer.isSpecial(id)) found++;
    else if (hasToken(tokenizer, id)) {
      texts[id] = tokenizer.bytes(id);
      found++;
    }
  }
  return texts;
}

function hasToken(tokenizer: Tokenizer, id: number): boolean {
  try {
    return tokenizer.bytes(id).length > 0;
  } catch {
    return false;
  }
}
