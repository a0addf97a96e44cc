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

export function tooLarge(what: string, limit: number, where?: string): GrammarError {
  return new GrammarError(`${what} grew beyond the limit`, {
    ...(where !== undefined && { where }),
    expected: `at most ${limit}`,
    hint: "Ask for less: smaller bounds and enums, fewer alternatives, simpler patterns.",
    cause: { what, limit } satisfies Limit,
  });
}

interface Limit {
  readonly what: string;
  readonly limit: number;
}

/** Runs a part of compiling; if something grows too large in it, the error says where. */
export function within<T>(where: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof GrammarError) || error.where !== undefined || !error.cause) throw error;
    const { what, limit } = error.cause as Limit;
    throw tooLarge(what, limit, where);
  }
}
