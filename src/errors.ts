/** What an error says besides its message; each part that is given becomes part of the one line shown. */
export interface ErrorDetails {
  /** File, tensor, byte or token where it happened. */
  readonly where?: string;
  readonly expected?: string | number | bigint;
  readonly found?: string | number | bigint;
  /** What the user can do about it. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * Base of all errors that this library throws on bad input.
 *
 * The message is one line: what, where, expected against found, hint.
 */
export class GptOssError extends Error {
  readonly where: string | undefined;
  readonly expected: string | number | bigint | undefined;
  readonly found: string | number | bigint | undefined;
  readonly hint: string | undefined;

  constructor(what: string, details: ErrorDetails = {}) {
    super(oneLine(what, details), "cause" in details ? { cause: details.cause } : undefined);
    this.name = new.target.name;
    this.where = details.where;
    this.expected = details.expected;
    this.found = details.found;
    this.hint = details.hint;
  }
}

/** A configuration that is incomplete, contradicts itself or describes another model. */
export class ConfigError extends GptOssError {}

/** A checkpoint file that is damaged, hostile or not in a known layout. */
export class CheckpointError extends GptOssError {}

/** A tokenizer file that can't be used, or an id that is outside the vocabulary. */
export class TokenizerError extends GptOssError {}

/** A wrong argument of a call or a command line. */
export class UsageError extends GptOssError {}

/** An engine that can't go on: out of memory, a crashed thread, a tensor used after its time. */
export class EngineError extends GptOssError {}

function oneLine(what: string, { where, expected, found, hint }: ErrorDetails): string {
  let line = where === undefined ? what : `${what} (${where})`;
  if (expected !== undefined) line += `: expected ${expected}`;
  if (found !== undefined) line += `${expected === undefined ? ": " : ", "}found ${printable(found)}`;
  if (hint !== undefined) line += `. ${hint}`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names come from hostile files
  return line.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ");
}

function printable(value: string | number | bigint): string {
  const text = String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
