export { type GgufTokenizer, tokenizerFromGguf } from "./gguf.ts";
export { loadTokenizer } from "./json.ts";
export { type MadeUpTokenizer, madeUpTokenizer } from "./made-up.ts";
export type { Steps } from "./steps.ts";
export { o200kHarmonySpecials, tokenizerFromTiktoken } from "./tiktoken.ts";
export type { StreamDecoder, Tokenizer } from "./tokenizer.ts";
