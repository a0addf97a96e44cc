import { adviceOn } from "../advice.ts";
import type { Tolerances } from "./goldens.ts";
import { PRECISIONS, type Precision } from "./runtime.ts";

/** What level 1 saw. */
export interface LogitErrors {
  readonly errors: readonly { readonly length: number; readonly rows: number; readonly error: number }[];
  /** First token whose logits are wrong, of those that the runtime returned. */
  readonly firstWrong: number;
  readonly notFinite: boolean;
}

/** The likely cause of wrong logits: by their size, then by the token at which they begin. */
export function logitsHint(
  seen: LogitErrors,
  { factor, precisions }: Tolerances,
  precision: Precision,
): string {
  if (seen.notFinite)
    return "NaN or infinite logits: an overflow (float16 has no number above 65504), 0 · NaN where masked places are multiplied rather than skipped, or a softmax without its maximum subtracted.";
  if (seen.errors.length === 0) return "The runtime returned no logits that can be compared; see the checks.";
  const rounding = looser(precision, (name) =>
    seen.errors.every(({ rows, error }) => {
      const { prompt, token_p95 } = precisions[name];
      return error <= factor * (rows === 1 ? token_p95 : prompt);
    }),
  );
  // rounding is everywhere, in the first token as well
  return (seen.firstWrong === 0 ? roundingHint(rounding, precision) : "") + tokenHint(seen.firstWrong);
}

/** The precisions looser than one's own under which all errors would pass. */
export function looser(precision: Precision, fits: (name: Precision) => boolean): Precision[] {
  return PRECISIONS.slice(PRECISIONS.indexOf(precision) + 1).filter(fits);
}

export function roundingHint(names: readonly Precision[], precision: Precision): string {
  if (names.length === 0) return "";
  return `Errors of this size are those of ${names.join(" or ")}: if the runtime computes so, check with that precision. If it computes in ${precision}, something is slightly wrong or rounded. `;
}

function tokenHint(token: number): string {
  if (token === 0)
    return "The first token alone is wrong, so look at what happens within a token: MXFP4 (low nibble first, scale 2^(byte − 127), blocks along the input), RMSNorm (ε 1e-5, no + 1), biases of all four projections, of the router and of the experts, gate and up interleaved, the clamp at 7, α 1.702, up + 1, softmax over the 4 chosen logits alone. The sink takes its share of a single token's softmax too, and with it YaRN's factor 1.3466 on both q and k shows.";
  if (token < 127)
    return `The first token is right and token ${token} isn't, so look at what happens between tokens: rotation in halves (dimension i with i + d/2, not neighbours), YaRN's frequencies (truncate false: no rounding of the range), positions from 0, the causal mask, query head h with key head ⌊h / (heads / kv heads)⌋.${tile(token)}`;
  if (token === 127)
    return "Wrong from token 127 on: the sliding window is one too narrow. It holds 128 keys, the token itself among them.";
  if (token === 128)
    return "Wrong from token 128 on: the sliding window is missing, one too wide, or on the wrong layers. Layers 0, 2, 4 … see 128 keys, the token itself among them; the others see all.";
  if (token < 256)
    return `Wrong from token ${token} on, past the sliding window: a window of another width, or a ring of cached keys that is read or written wrongly once it has wrapped.${tile(token)}`;
  return `Wrong from token ${token} on, past the original context of 256: YaRN holds for every position, also before and after that; or the runtime cuts prompts there.${tile(token)}`;
}

function tile(token: number): string {
  return token >= 8 && (token & (token - 1)) === 0
    ? ` ${token} is a power of two: is it the size of a chunk, a tile or a batch?`
    : "";
}

export function activationHint(point: string): string | undefined {
  const look = adviceOn(point)?.look;
  const layer = /^layers\.(\d+)/.exec(point)?.[1];
  const at =
    Number(layer) > 0
      ? " Layer 0 is right: what differs between layers is the window (even ones slide) and the cache."
      : "";
  return look && `${point} is the first that differs. Look at: ${look}.${at}`;
}
