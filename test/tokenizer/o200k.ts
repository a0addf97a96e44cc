import packed from "js-tiktoken/ranks/o200k_base";
import { o200kHarmonySpecials, type Tokenizer, tokenizerFromTiktoken } from "../../src/tokenizer/index.ts";
import { O200K_PATTERN } from "../../src/tokenizer/split.ts";

/** The real ranks of o200k_base, as the text of OpenAI's o200k_base.tiktoken; a development dependency carries them. */
export function ranksFile(): string {
  const lines: string[] = [];
  for (const line of packed.bpe_ranks.split("\n")) {
    const [, first, ...tokens] = line.split(" ");
    for (const [i, token] of tokens.entries()) lines.push(`${token} ${Number(first) + i}\n`);
  }
  return lines.join("");
}

let tokenizer: Tokenizer | undefined;

/** The tokenizer of gpt-oss-20b and gpt-oss-120b. */
export function o200kHarmony(): Tokenizer {
  tokenizer ??= tokenizerFromTiktoken(ranksFile(), o200kHarmonySpecials(), "o200k_base.tiktoken");
  return tokenizer;
}

/** Bytes 0 to 255 in GPT-2's alphabet. */
export const LETTERS: readonly string[] = (() => {
  const printable = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let others = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : others++));
})();

/** The parts of tokenizer.json that tests look into or change. */
export interface TokenizerJson {
  [key: string]: unknown;
  added_tokens: { id: number; content: string; special: boolean }[];
  model: { [key: string]: unknown; vocab: Record<string, number>; merges: [string, string][] };
}

/**
 * The tokenizer.json that Hugging Face's converter makes of ranks: merges are all ways to make a token of two, by
 * result, then by left part, then by right. That it equals the published file is checked in scripts/golden-text.
 */
export function tokenizerJson(): TokenizerJson {
  const vocab: Record<string, number> = {};
  const merges: [string, string][] = [];
  const ids = new Map<string, number>();
  for (const line of ranksFile().trimEnd().split("\n")) {
    const [base64, rank] = line.split(" ") as [string, string];
    const token = [...atob(base64)].map((byte) => LETTERS[byte.charCodeAt(0)]).join("");
    vocab[token] = Number(rank);
    ids.set(token, Number(rank));
  }
  for (const token of ids.keys()) {
    const made: [string, string][] = [];
    for (let i = 1; i < token.length; i++) {
      if (ids.has(token.slice(0, i)) && ids.has(token.slice(i)))
        made.push([token.slice(0, i), token.slice(i)]);
    }
    merges.push(...made.sort((a, b) => ids.get(a[0])! - ids.get(b[0])!));
  }
  const specials = [...o200kHarmonySpecials()].filter(([, id]) => id <= 200018);
  return {
    ...shell(),
    added_tokens: specials.map(([name, id]) => ({
      id,
      content: id === 200018 ? "<|endofprompt|>" : name,
      special: true,
    })),
    model: { ...shell().model, vocab, merges },
  };
}

/** All of the published tokenizer.json but the vocabulary: a byte-level BPE without any tokens yet. */
export function shell(): TokenizerJson {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: O200K_PATTERN }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: { type: "ByteLevel", add_prefix_space: true, trim_offsets: false, use_regex: true },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab: {},
      merges: [],
    },
  };
}
