import { fromLetters } from "./bytes.ts";
import { checkMerges } from "./merges.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";
import { VocabularyBuilder } from "./vocabulary.ts";

/** The metadata of a GGUF file that concerns the tokenizer, by its keys without `tokenizer.ggml.` */
export interface GgufTokenizer {
  /** `model`; must be "gpt2", which is to say byte-level BPE. */
  readonly model: unknown;
  /** `pre`: the split pattern by name; "gpt-4o" is o200k's. */
  readonly pre: unknown;
  /** `tokens`: for each id, the token in GPT-2's byte alphabet, or the name of a special token. */
  readonly tokens: readonly unknown[];
  /** `merges`, as "a b". */
  readonly merges: readonly unknown[];
  /** `token_type`: for each id, what its token is. */
  readonly tokenTypes: ArrayLike<unknown>;
}

// `llama_token_type` in ggml-org/llama.cpp, include/llama.h.
const NORMAL = 1;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;

/**
 * Tokenizer from a GGUF file's metadata. Control and user-defined tokens are special, unused ids have no token.
 *
 * @param where the file's name, for messages
 * @throws TokenizerError
 */
export function tokenizerFromGguf(metadata: GgufTokenizer, where: string): Tokenizer {
  const { model, pre, tokens, merges, tokenTypes } = metadata;
  const builder: VocabularyBuilder = new VocabularyBuilder(where);
  if (model !== "gpt2") builder.fail("unsupported tokenizer.ggml.model", "gpt2", model);
  if (pre !== "gpt-4o") builder.fail("unsupported tokenizer.ggml.pre", "gpt-4o", pre);
  if (!Array.isArray(tokens)) builder.fail("tokenizer.ggml.tokens is missing or no array");
  if (!Array.isArray(merges)) builder.fail("tokenizer.ggml.merges is missing or no array");
  if (tokenTypes?.length !== tokens.length) {
    builder.fail(
      "tokenizer.ggml.token_type differs in length from tokens",
      tokens.length,
      tokenTypes?.length,
    );
  }

  const specials: [unknown, number][] = [];
  for (let id = 0; id < tokens.length; id++) {
    const token: unknown = tokens[id];
    const type = Number(tokenTypes[id]);
    if (type === CONTROL || type === USER_DEFINED) specials.push([token, id]);
    else if (type === NORMAL) {
      const bytes = typeof token === "string" ? fromLetters(token) : undefined;
      builder.addOrdinary(
        bytes ?? builder.fail(`token ${id} isn't in GPT-2's byte alphabet`, undefined, token),
        id,
      );
    } else if (type !== UNUSED)
      builder.fail(`token ${id} has an unsupported type`, "1, 3, 4 or 5", tokenTypes[id]);
  }
  checkMerges(merges, builder);
  for (const [name, id] of specials) builder.addSpecial(name, id);
  return createTokenizer(builder.finish());
}
