import { finish, type Steps } from "./steps.ts";
import type { Tokenizer } from "./tokenizer.ts";

/**
 * A tokenizer that calls `fail` instead of encoding more than `limit` tokens, all its texts taken together. It knows ahead of
 * most of the work, which takes seconds for megabytes.
 */
export function limitTokens(tokenizer: Tokenizer, limit: number, fail: () => never): Tokenizer {
  let left = limit;
  function* encodeSteps(text: string): Steps<number[]> {
    if (tokenizer.atLeast(text, left + 1) > left) fail();
    const ids = yield* tokenizer.encodeSteps(text);
    left -= ids.length;
    if (left < 0) fail();
    return ids;
  }
  return { ...tokenizer, encode: (text) => finish(encodeSteps(text)), encodeSteps };
}
