import { type ErrorDetails, GptOssError } from "../errors.ts";

/** A schema, regular expression or grammar that can't be enforced exactly, or that nothing fulfils. */
export class GrammarError extends GptOssError {
  /** The keyword of a JSON Schema that is at fault. */
  readonly keyword: string | undefined;

  constructor(what: string, details: ErrorDetails & { readonly keyword?: string } = {}) {
    super(what, details);
    this.keyword = details.keyword;
  }
}

export function tooLarge(what: string, limit: number): GrammarError {
  return new GrammarError(`${what} grew beyond the limit`, {
    expected: `at most ${limit}`,
    hint: "Ask for less: smaller bounds and enums, fewer alternatives, simpler patterns.",
  });
}
