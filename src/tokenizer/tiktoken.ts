import { createTokenizer, type Tokenizer } from "./tokenizer.ts";
import { VocabularyBuilder } from "./vocabulary.ts";

/**
 * Tokenizer from the text of a `.tiktoken` file, such as OpenAI's o200k_base.tiktoken: a line `base64 rank` for each
 * token. It's what a checkpoint in OpenAI's own layout needs, which comes without a tokenizer.json. Special tokens
 * aren't in such a file; see o200kHarmonySpecials.
 *
 * @param where the file's name, for messages
 * @throws TokenizerError
 */
export function tokenizerFromTiktoken(
  file: string,
  specials: ReadonlyMap<string, number>,
  where: string,
): Tokenizer {
  const builder: VocabularyBuilder = new VocabularyBuilder(where);
  let number = 0;
  for (const line of file.split("\n")) {
    number++;
    if (line === "" || line === "\r") continue;
    const match = /^([A-Za-z0-9+/]+={0,2}) ([0-9]{1,7})\r?$/.exec(line);
    if (!match) builder.fail(`line ${number} isn't "base64 rank"`, undefined, line);
    builder.addOrdinary(
      decodeBase64(match[1]!) ?? builder.fail(`line ${number} isn't base64`),
      Number(match[2]),
    );
  }
  for (const [name, id] of specials) builder.addSpecial(name, id);
  return createTokenizer(builder.finish());
}

function decodeBase64(text: string): string | undefined {
  try {
    return atob(text);
  } catch {
    return undefined;
  }
}

/**
 * The special tokens of o200k_harmony, as OpenAI's tokenizer for gpt-oss has them: the rest of the 201,088 embedding
 * rows is reserved by number. (The Hugging Face file ends at 200018, which it calls `<|endofprompt|>`.)
 *
 * Source: `get_tokenizer` in openai/gpt-oss, gpt_oss/tokenizer.py.
 */
export function o200kHarmonySpecials(): Map<string, number> {
  const named = new Map([
    [199998, "<|startoftext|>"],
    [199999, "<|endoftext|>"],
    [200002, "<|return|>"],
    [200003, "<|constrain|>"],
    [200005, "<|channel|>"],
    [200006, "<|start|>"],
    [200007, "<|end|>"],
    [200008, "<|message|>"],
    [200012, "<|call|>"],
  ]);
  const specials = new Map<string, number>();
  for (let id = 199998; id < 201088; id++) specials.set(named.get(id) ?? `<|reserved_${id}|>`, id);
  return specials;
}
