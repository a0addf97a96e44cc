import { fromLetters } from "./bytes.ts";
import type { VocabularyBuilder } from "./vocabulary.ts";

/**
 * Checks that joining by rank (see joinPairs) does what a file's list of merges says: each merge makes a token, and
 * the list is in the order of those tokens' ids. Other BPE files exist where it isn't so.
 *
 * @param merges pairs in GPT-2's alphabet, as `["a", "b"]` or `"a b"`
 * @throws TokenizerError
 */
export function checkMerges(merges: readonly unknown[], builder: VocabularyBuilder): void {
  const made = new Set<number>();
  let last = -1;
  for (let i = 0; i < merges.length; i++) {
    const joined = join(merges[i]);
    const id = joined === undefined ? undefined : builder.ranks.get(joined);
    if (id === undefined) builder.fail(`merge ${i} doesn't join two tokens into a token`);
    if (id < last) builder.fail(`merge ${i} is out of the order of ids`, `an id from ${last} on`, id);
    made.add(id);
    last = id;
  }
  for (const [token, id] of builder.ranks) {
    if (token.length > 1 && !made.has(id)) builder.fail("no merge makes a token", undefined, `id ${id}`);
  }
}

function join(merge: unknown): string | undefined {
  if (typeof merge === "string") {
    const parts = merge.split(" ");
    return parts.length === 2 && parts[0] && parts[1] ? fromLetters(parts[0] + parts[1]) : undefined;
  }
  if (!Array.isArray(merge) || merge.length !== 2) return undefined;
  const [left, right]: unknown[] = merge;
  if (typeof left !== "string" || typeof right !== "string" || !left || !right) return undefined;
  return fromLetters(left + right);
}
