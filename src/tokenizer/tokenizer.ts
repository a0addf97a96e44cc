import { TokenizerError } from "../errors.ts";
import { joinPairs, type Ranks } from "./bpe.ts";
import { fromByteString, utf8 } from "./bytes.ts";
import { pieceEnd } from "./split.ts";
import { finish, type Steps } from "./steps.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Turns text into token ids and back. Text never yields a special token: those are placed by id only. */
export interface Tokenizer {
  /** Number of ids that have a token, ordinary or special. The model's embedding may have further rows. */
  readonly size: number;
  /**
   * Ids of a text, all of them ordinary: `"<|start|>"` in it stays plain text. A lone surrogate is encoded as U+FFFD.
   */
  encode(text: string): number[];
  /** As `encode`, step by step: megabytes take seconds. */
  encodeSteps(text: string): Steps<number[]>;
  /** A number of tokens that the text has at least, found without encoding it; counting stops at `enough`. */
  atLeast(text: string, enough: number): number;
  /**
   * Text of ids. Special tokens show by name, ids without a token as U+FFFD, and so do bytes that aren't UTF-8.
   * Throws TokenizerError on an id that is no integer or negative.
   */
  decode(ids: readonly number[]): string;
  /** Id of a special token, such as `"<|start|>"`. Throws TokenizerError if this tokenizer lacks it. */
  specialId(name: string): number;
  isSpecial(id: number): boolean;
  /** Whether there is a special token of this name. */
  hasSpecial(name: string): boolean;
  /** A copy of an ordinary token's bytes. Throws TokenizerError if the id has no ordinary token. */
  bytes(id: number): Uint8Array;
  /** A decoder that takes ids one by one. */
  stream(): StreamDecoder;
}

/** Decodes ids as they come. However the ids are spread over calls, the text is that of `Tokenizer.decode`. */
export interface StreamDecoder {
  /** The text that is complete with this id. Bytes of a UTF-8 sequence wait for their rest. */
  push(id: number): string;
  /** What waits, as U+FFFD if it is incomplete. Then the decoder starts anew. */
  end(): string;
}

/** Characters of one step of encoding. */
const STEP = 4096;

/** A tokenizer over a checked vocabulary; see loadTokenizer and its siblings for how to get one. */
export function createTokenizer({ ranks, tokens, specials, where }: Vocabulary): Tokenizer {
  const nameOf = new Map<number, string>();
  for (const [name, id] of specials) nameOf.set(id, name);
  const longest = longestToken(ranks);

  const stream = (): StreamDecoder => {
    const utf8Decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return {
      push(id) {
        const token = tokens[id];
        if (token !== undefined) return utf8Decoder.decode(fromByteString(token), { stream: true });
        return utf8Decoder.decode() + (nameOf.get(checkId(id, where)) ?? "\ufffd");
      },
      end: () => utf8Decoder.decode(),
    };
  };

  function* encodeSteps(text: string): Steps<number[]> {
    const ids: number[] = [];
    let stepEnd = 0;
    for (let start = 0; start < text.length; ) {
      const end = pieceEnd(text, start);
      if (end > stepEnd) {
        stepEnd = Math.min(text.length, Math.max(end, start + STEP));
        yield stepEnd - start;
      }
      const piece = utf8(text.slice(start, end));
      const whole = piece.length <= longest ? ranks.get(piece) : undefined;
      if (whole === undefined) yield* joinPairs(piece, ranks, longest, ids);
      else ids.push(whole);
      start = end;
    }
    return ids;
  }

  return {
    size: ranks.size + specials.size,
    encode: (text) => finish(encodeSteps(text)),
    encodeSteps,
    atLeast(text, enough) {
      let count = 0;
      for (let start = 0; start < text.length && count < enough; ) {
        const end = pieceEnd(text, start);
        count += Math.ceil((end - start) / longest); // a character takes a byte or more
        start = end;
      }
      return count;
    },
    decode(ids) {
      const decoder = stream();
      let text = "";
      for (const id of ids) text += decoder.push(id);
      return text + decoder.end();
    },
    specialId(name) {
      const id = specials.get(name);
      if (id === undefined)
        throw new TokenizerError("the tokenizer has no such special token", { where, found: name });
      return id;
    },
    isSpecial: (id) => nameOf.has(id),
    hasSpecial: (name) => specials.has(name),
    bytes(id) {
      const token = tokens[id];
      if (token !== undefined) return fromByteString(token);
      throw new TokenizerError("the id has no ordinary token", { where, found: nameOf.get(id) ?? id });
    },
    stream,
  };
}

function checkId(id: number, where: string): number {
  if (Number.isSafeInteger(id) && id >= 0) return id;
  throw new TokenizerError("not a token id", { where, expected: "an integer from 0 on", found: String(id) });
}

function longestToken(ranks: Ranks): number {
  let longest = 0;
  for (const token of ranks.keys()) longest = Math.max(longest, token.length);
  return longest;
}
