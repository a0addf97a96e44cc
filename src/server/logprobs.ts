import type { GeneratedToken } from "../generation/generate.ts";
import type { TokenProbability } from "../generation/sampler.ts";
import type { Tokenizer } from "../tokenizer/index.ts";

/** A token and its log-probability, as chat completions and responses show it. */
export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  /** UTF-8 of the token, which may be a part of a character; null for control tokens. */
  readonly bytes: readonly number[] | null;
}

export interface TokenLogprobs extends TokenLogprob {
  readonly top_logprobs: readonly TokenLogprob[];
}

export function tokenLogprobs(tokenizer: Tokenizer, token: GeneratedToken): TokenLogprobs {
  return {
    ...tokenLogprob(tokenizer, token),
    top_logprobs: token.topLogprobs.map((top) => tokenLogprob(tokenizer, top)),
  };
}

function tokenLogprob(tokenizer: Tokenizer, { id, logprob }: TokenProbability): TokenLogprob {
  const token = tokenizer.decode([id]);
  const isText = id < tokenizer.size && !tokenizer.isSpecial(id);
  return { token, logprob: finite(logprob), bytes: isText ? [...tokenizer.bytes(id)] : null };
}

/** JSON has no −∞. */
export function finite(logprob: number): number {
  return Math.max(logprob, -9999);
}
