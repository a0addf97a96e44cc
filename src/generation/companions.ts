import type { OpenCheckpoint } from "../checkpoint/open.ts";
import { TokenizerError } from "../errors.ts";
import { stopIds } from "../harmony/index.ts";
import { loadTokenizer, type Tokenizer, tokenizerFromGguf } from "../tokenizer/index.ts";

/** Settings that a checkpoint recommends for generating with it. */
export interface GenerationDefaults {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly stopTokens: readonly number[];
}

/** The tokenizer beside the weights (tokenizer.json) or within them (GGUF), if there is one. */
export async function readTokenizer(checkpoint: OpenCheckpoint): Promise<Tokenizer | undefined> {
  const { gguf, location } = checkpoint;
  const tokens = await gguf?.strings("tokenizer.ggml.tokens");
  if (gguf && tokens) {
    const metadata = {
      model: gguf.string("tokenizer.ggml.model"),
      pre: gguf.string("tokenizer.ggml.pre"),
      tokens,
      merges: (await gguf.strings("tokenizer.ggml.merges")) ?? [],
      tokenTypes: (await gguf.int32s("tokenizer.ggml.token_type")) ?? [],
    };
    return tokenizerFromGguf(metadata, location);
  }
  const json = await checkpoint.readJson("tokenizer.json");
  return json === undefined ? undefined : loadTokenizer(json, `${location}/tokenizer.json`);
}

/**
 * generation_config.json, if the checkpoint brings one. gpt-oss's says `do_sample` and no temperature, which means 1.
 * Values that make no sense there are left out: they are a recommendation, not part of the model.
 */
export async function readGenerationDefaults(
  checkpoint: OpenCheckpoint,
  tokenizer: Tokenizer | TokenizerError | undefined,
): Promise<GenerationDefaults> {
  const json = await checkpoint.readJson("generation_config.json");
  const fields = (typeof json === "object" && json !== null ? json : {}) as Record<string, unknown>;
  const number = (name: string, fallback: number, max: number): number => {
    const value = fields[name];
    return typeof value === "number" && value >= 0 && value <= max ? value : fallback;
  };
  const eos = [fields["eos_token_id"]].flat();
  const stopTokens = new Set(eos.filter((id): id is number => Number.isSafeInteger(id)));
  if (tokenizer && !(tokenizer instanceof TokenizerError))
    for (const id of stopIds(tokenizer)) stopTokens.add(id);
  return {
    temperature: fields["do_sample"] === false ? 0 : number("temperature", 1, 100),
    topK: Math.trunc(number("top_k", 0, 2 ** 31)),
    topP: number("top_p", 1, 1) || 1,
    stopTokens: [...stopTokens],
  };
}
