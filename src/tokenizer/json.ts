import { fromLetters } from "./bytes.ts";
import { checkMerges } from "./merges.ts";
import { O200K_PATTERN } from "./split.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";
import { VocabularyBuilder } from "./vocabulary.ts";

type Json = Readonly<Record<string, unknown>>;

/**
 * Tokenizer from the parsed content of a Hugging Face `tokenizer.json`: a byte-level BPE with o200k's split pattern.
 * Each of its added tokens is special here. A file that asks for anything else is refused rather than tokenised
 * differently from what its model was trained on.
 *
 * @param where the file's name, for messages
 * @throws TokenizerError
 */
export function loadTokenizer(tokenizerJson: unknown, where: string): Tokenizer {
  const builder: VocabularyBuilder = new VocabularyBuilder(where);
  const object = (value: unknown, name: string): Json =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Json)
      : builder.fail(`${name} is missing or no object`);
  const array = (value: unknown, name: string): readonly unknown[] =>
    Array.isArray(value) ? value : builder.fail(`${name} is missing or no array`);
  const demand = (value: unknown, expected: string | boolean, name: string): void => {
    if (value !== expected) builder.fail(`unsupported ${name}`, String(expected), value);
  };
  const refuse = (value: unknown, name: string): void => {
    if (value !== undefined && value !== null && value !== false && value !== "") {
      builder.fail(`unsupported ${name}`, "none", value);
    }
  };

  const file = object(tokenizerJson, "the tokenizer");
  refuse(file["normalizer"], "normalizer");
  demand(object(file["decoder"], "decoder")["type"], "ByteLevel", "decoder");

  const preTokenizer = object(file["pre_tokenizer"], "pre_tokenizer");
  demand(preTokenizer["type"], "Sequence", "pre_tokenizer");
  const steps = array(preTokenizer["pretokenizers"], "pre_tokenizer.pretokenizers");
  if (steps.length !== 2)
    builder.fail("unsupported pre_tokenizer", "Split, ByteLevel", `${steps.length} steps`);
  const split = object(steps[0], "pre_tokenizer's first step");
  demand(split["type"], "Split", "first step of pre_tokenizer");
  demand(object(split["pattern"], "the split pattern")["Regex"], O200K_PATTERN, "split pattern");
  demand(split["behavior"], "Isolated", "split behavior");
  refuse(split["invert"], "inverted split pattern");
  const byteLevel = object(steps[1], "pre_tokenizer's second step");
  demand(byteLevel["type"], "ByteLevel", "second step of pre_tokenizer");
  demand(byteLevel["add_prefix_space"], false, "add_prefix_space");
  demand(byteLevel["use_regex"], false, "use_regex");

  const model = object(file["model"], "model");
  demand(model["type"], "BPE", "model");
  demand(model["ignore_merges"], true, "ignore_merges");
  for (const name of [
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
  ]) {
    refuse(model[name], name);
  }
  for (const [letters, id] of Object.entries(object(model["vocab"], "model.vocab"))) {
    builder.addOrdinary(
      fromLetters(letters) ?? builder.fail("a token isn't in GPT-2's byte alphabet", undefined, letters),
      id,
    );
  }
  checkMerges(array(model["merges"], "model.merges"), builder);
  for (const entry of array(file["added_tokens"] ?? [], "added_tokens")) {
    const token = object(entry, "an added token");
    builder.addSpecial(token["content"], token["id"]);
  }
  return createTokenizer(builder.finish());
}
