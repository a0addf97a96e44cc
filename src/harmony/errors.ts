import { type ErrorDetails, GptOssError } from "../errors.ts";

/** A conversation that Harmony can't express, or, from the strict parser, a token stream that isn't Harmony. */
export class HarmonyError extends GptOssError {
  /** Which token of the stream it happened at, counted from 0; undefined where there is no stream. */
  readonly offset: number | undefined;

  constructor(what: string, details: ErrorDetails & { readonly offset?: number } = {}) {
    super(what, details.offset === undefined ? details : { where: `token ${details.offset}`, ...details });
    this.offset = details.offset;
  }
}
