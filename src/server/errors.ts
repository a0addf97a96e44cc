import { GptOssError, UsageError } from "../errors.ts";
import { GrammarError } from "../grammar/index.ts";
import { HarmonyError } from "../harmony/index.ts";

export type ErrorType = "invalid_request_error" | "rate_limit_exceeded" | "server_error";

export interface ApiErrorDetails {
  /** `invalid_request_error` by default. */
  readonly type?: ErrorType;
  /** For programs, such as `context_length_exceeded`. */
  readonly code?: string;
  /** The field of the request that is at fault, such as `messages[2].content`. */
  readonly param?: string;
  /** Such as Retry-After. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** A request that ends in an error, as OpenAI's API words it. */
export class ApiError extends Error {
  readonly status: number;
  readonly type: ErrorType;
  readonly code: string | null;
  readonly param: string | null;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, details: ApiErrorDetails = {}) {
    super(message, "cause" in details ? { cause: details.cause } : undefined);
    this.name = "ApiError";
    this.status = status;
    this.type = details.type ?? (status >= 500 ? "server_error" : "invalid_request_error");
    this.code = details.code ?? null;
    this.param = details.param ?? null;
    this.headers = details.headers ?? {};
  }

  /** `{ error: … }`, the body of the response. */
  toJSON(): { error: { message: string; type: ErrorType; param: string | null; code: string | null } } {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }

  toResponse(): Response {
    return Response.json(this, { status: this.status, headers: this.headers });
  }
}

/** A value that a request mustn't have; `param` is the field. */
export function invalid(param: string, message: string, code = "invalid_value"): ApiError {
  return new ApiError(400, message, { param, code });
}

/**
 * What a client is told of an error. What the library says of a request's contents is passed on; of anything else, only
 * that it happened: the message might tell of files or of other requests.
 */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof GrammarError || error instanceof HarmonyError || error instanceof UsageError)
    return new ApiError(400, error.message, { code: "invalid_value", cause: error });
  if (isAbort(error)) return new ApiError(499, "The request was cancelled.", { cause: error });
  const kind = error instanceof GptOssError ? error.name : "an internal error";
  return new ApiError(500, `The server failed: ${kind}. Its log says more.`, { cause: error });
}

/** Whether somebody stopped waiting, which is nobody's fault. */
export function isAbort(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // the latter is Node's word for a client that left in the midst of a body
  return (
    error.name === "AbortError" ||
    (error.message === "aborted" && "code" in error && error.code === "ECONNRESET")
  );
}
