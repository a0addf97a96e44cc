import type { Tokenizer } from "../tokenizer/index.ts";

/**
 * The tokens at which the model hands over and sampling stops: the answer is complete, or a tool is called. Not
 * `<|end|>`: after a message of reasoning the model goes on with the next. Those that the tokenizer lacks are left out.
 */
export function stopIds(tokenizer: Tokenizer): number[] {
  const names = ["<|return|>", "<|call|>", "<|endoftext|>"].filter((name) => tokenizer.hasSpecial(name));
  return names.map((name) => tokenizer.specialId(name));
}
