import { TokenizerError } from "../errors.ts";
import type { Ranks } from "./bpe.ts";
import type { ByteString } from "./bytes.ts";

/** What a tokenizer consists of, whichever file it came from. */
export interface Vocabulary {
  readonly ranks: Ranks;
  /** The ordinary tokens by id; other ids have none. */
  readonly tokens: readonly (ByteString | undefined)[];
  readonly specials: ReadonlyMap<string, number>;
  /** The file, for messages. */
  readonly where: string;
}

/** Ids from here on are refused: five times what gpt-oss has, and little enough to keep an array of. */
const MAX_IDS = 2 ** 20;
/** Bytes in a token; o200k's longest has 128. */
const MAX_TOKEN_LENGTH = 4096;

/** Gathers tokens, and refuses whatever would make encoding ambiguous or lose text. */
export class VocabularyBuilder {
  readonly ranks: Map<ByteString, number> = new Map();
  readonly #tokens: (ByteString | undefined)[] = [];
  readonly #specials: Map<string, number> = new Map();
  readonly #specialIds: Set<number> = new Set();
  readonly #where: string;

  constructor(where: string) {
    this.#where = where;
  }

  fail(what: string, expected?: string | number, found?: unknown): never {
    throw new TokenizerError(what, {
      where: this.#where,
      ...(expected === undefined ? {} : { expected }),
      ...(found === undefined ? {} : { found: show(found) }),
    });
  }

  addOrdinary(token: ByteString, id: unknown): void {
    const checked = this.#checkId(id);
    if (token.length === 0 || token.length > MAX_TOKEN_LENGTH) {
      this.fail(`token ${checked} has a wrong length`, `1 to ${MAX_TOKEN_LENGTH} bytes`, token.length);
    }
    if (this.ranks.has(token))
      this.fail("two ids have the same token", undefined, `${this.ranks.get(token)} and ${checked}`);
    if (this.#tokens[checked] !== undefined) this.fail("two tokens have the same id", undefined, checked);
    this.ranks.set(token, checked);
    this.#tokens[checked] = token;
  }

  /** Adds a special token. A file may list it among the ordinary ones too: it is taken from there. */
  addSpecial(name: unknown, id: unknown): void {
    const checked = this.#checkId(id);
    if (typeof name !== "string" || name.length === 0 || name.length > MAX_TOKEN_LENGTH) {
      this.fail(`special token ${checked} has no proper name`, "a text", name);
    }
    if (this.#specials.has(name)) this.fail("a special token is listed twice", undefined, name);
    if (this.#specialIds.has(checked)) this.fail("two special tokens have the same id", undefined, checked);
    const ordinary = this.#tokens[checked];
    if (ordinary !== undefined) {
      if (ordinary !== name) this.fail("a special token has the id of an ordinary token", undefined, checked);
      this.ranks.delete(ordinary);
      this.#tokens[checked] = undefined;
    }
    this.#specials.set(name, checked);
    this.#specialIds.add(checked);
  }

  finish(): Vocabulary {
    for (let byte = 0; byte < 256; byte++) {
      if (!this.ranks.has(String.fromCharCode(byte))) {
        this.fail("the vocabulary lacks a single byte, so not every text can be encoded", undefined, byte);
      }
    }
    return { ranks: this.ranks, tokens: this.#tokens, specials: this.#specials, where: this.#where };
  }

  #checkId(id: unknown): number {
    if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < MAX_IDS) return id;
    return this.fail("a token's id is out of range", `an integer below ${MAX_IDS}`, id);
  }
}

/** A value from a file, short enough for a message. */
function show(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return String(value);
}
