import { BYTE_LETTERS } from "./bytes.ts";
import { O200K_PATTERN } from "./split.ts";
import { o200kHarmonySpecials } from "./tiktoken.ts";

/** The parts of a tokenizer.json that hold the vocabulary, and whatever else readers ask for. */
export interface MadeUpTokenizer {
  readonly [part: string]: unknown;
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[];
  readonly model: {
    readonly [setting: string]: unknown;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly [left: string, right: string][];
  };
}

/**
 * A tokenizer.json with o200k_harmony's special tokens at their ids, and below them as many ordinary tokens, but others: the bytes, then
 * all words of two letters, of three, and of four until the ids run out, each with and without a space ahead. It takes and
 * gives every text, and needs no file.
 */
export function madeUpTokenizer(): MadeUpTokenizer {
  const specials = [...o200kHarmonySpecials()].filter(([, id]) => id <= END_OF_PROMPT);
  const { tokens, merges } = words(specials[0]![1]);
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map(([name, id]) => ({
      id,
      content: id === END_OF_PROMPT ? "<|endofprompt|>" : name, // as the published file has it
      ...{ single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    })),
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
      ...{ dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: false, byte_fallback: false, ignore_merges: true },
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

const END_OF_PROMPT = 200018;
/** From the most frequent in English on, so that the words for which there is room are the likelier ones. */
const ALPHABET = "etaoinshrdlucmwfgypbvkjxqz";

function words(count: number): { tokens: string[]; merges: [string, string][] } {
  const tokens = [...BYTE_LETTERS];
  const merges: [string, string][] = [];
  const shorter = [BYTE_LETTERS[0x20]!, ...ALPHABET];
  for (const word of shorter) {
    for (const letter of ALPHABET) {
      if (tokens.length === count) return { tokens, merges };
      const longer = word + letter;
      // all ways to make it of two, since all shorter words are tokens
      for (let i = 1; i < longer.length; i++) merges.push([longer.slice(0, i), longer.slice(i)]);
      tokens.push(longer);
      shorter.push(longer); // the loop comes to it
    }
  }
  return { tokens, merges };
}
