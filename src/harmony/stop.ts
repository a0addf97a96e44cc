import type { Tokenizer } from "../tokenizer/index.ts";

/**
 * The tokens at which the model hands over and sampling stops: the answer is complete, or a tool is called. Not
 * `<|end|>`: after a message of reasoning the model goes on with the next.
 */
export function stopIds(tokenizer: Tokenizer): number[] {
  return ["<|return|>", "<|call|>", "<|endoftext|>"].map((name) => tokenizer.specialId(name));
}
