import type { TokenSource } from "../generation/chat.ts";
import type { Model } from "../generation/model.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import type { Tool } from "../tools/tool.ts";
import type { Admission, Slot } from "./admission.ts";
import { ApiError } from "./errors.ts";
import type { Metrics } from "./metrics.ts";
import type { ResponseStore } from "./store/index.ts";
import type { TimeShare } from "./time-share.ts";

/** A model as clients know it. */
export interface ServedModel {
  readonly id: string;
  /** Other names that requests may use. */
  readonly aliases: readonly string[];
  /** When it was loaded, in seconds since 1970. */
  readonly created: number;
  readonly model: Model;
  /** What requests generate with: it shares computed prefixes among them. */
  readonly source: TokenSource;
}

/** What a request may ask for at most. */
export interface Limits {
  /** Bytes of a body. */
  readonly bodyBytes: number;
  /** Levels of nesting in a body. */
  readonly jsonDepth: number;
  /** Values in a body, those within others counted; completions, whose prompts may be token ids, take more. */
  readonly jsonValues: number;
  /** Messages or items of a conversation. */
  readonly messages: number;
  readonly tools: number;
  /** Characters of one JSON Schema. */
  readonly schemaCharacters: number;
  /** Choices of one request. */
  readonly choices: number;
  /** Tokens of prompt and answer together; never more than the model's context. */
  readonly contextTokens: number;
}

export interface Logger {
  /** One request, or something that an operator wants to know. Never what users or the model said. */
  info(line: string): void;
  error(line: string, error?: unknown): void;
}

/** Makes the built-in tools of one conversation; the caller closes them. Only those that the operator has switched on. */
export interface BuiltInTools {
  /** Such as `python`, `browser`, and names of MCP servers. */
  readonly names: readonly string[];
  /** @throws ApiError 400 for a name that isn't among them */
  open(names: readonly string[]): Promise<readonly Tool[]>;
}

/** What all routes share. */
export interface ServerContext {
  readonly served: readonly ServedModel[];
  readonly limits: Limits;
  readonly admission: Admission;
  /** Encodes prompts, which may be long. */
  readonly timeShare: TimeShare;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly builtInTools: BuiltInTools;
  /** Where responses are kept. */
  store(): Promise<ResponseStore>;
  /** An id that can't be guessed, behind a prefix such as `chatcmpl-` or `resp_`. */
  newId(prefix: string): string;
  /** Milliseconds since 1970. */
  now(): number;
  /** The day that the model is told, YYYY-MM-DD; undefined tells it none. */
  today(): string | undefined;
}

/** What is known of a request besides its contents. */
export interface RequestInfo {
  /** Sent as x-request-id. */
  readonly id: string;
  /** Whose turn it is when many wait: a digest of the API key, else the address, else nothing. */
  client: string;
  /** Whose stored responses it sees: a digest of the API key, or nothing where no keys are asked for, and all share. */
  owner: string;
  /** `performance.now()` at its arrival. */
  readonly start: number;
  /** Aborted when the client goes away. */
  readonly abort: AbortController;
  /** Counted up by routes, for the log. */
  readonly tokens: { prompt: number; cached: number; generated: number };
  /** To be called when a stream has ended, which is later than its response. */
  done: () => void;
}

/** Hono's environment: `c.get("info")` in every route. */
export interface ServerEnv {
  readonly Bindings: { readonly address?: string };
  readonly Variables: { info: RequestInfo };
}

/** The model that a request names. */
export function findModel({ served }: ServerContext, name: string | undefined): ServedModel {
  const found = served.find(({ id, aliases }) => id === name || aliases.includes(name ?? ""));
  if (found) return found;
  if (name === undefined)
    throw new ApiError(400, "Name a model.", { param: "model", code: "missing_required_parameter" });
  const known = served.map(({ id }) => `'${id}'`).join(", ");
  throw new ApiError(404, `The model '${name.slice(0, 100)}' isn't served here. There is: ${known}.`, {
    param: "model",
    code: "model_not_found",
  });
}

/**
 * What turns a model's text into ids and back.
 *
 * @throws ApiError 400 where the checkpoint brought none: then only token ids are served
 */
export function tokenizerOf({ id, model }: ServedModel): Tokenizer {
  if (model.tokenizer) return model.tokenizer;
  throw new ApiError(
    400,
    `The model '${id}' came without a tokenizer: it takes nothing but token ids, at /v1/completions.`,
    { code: "no_tokenizer" },
  );
}

/** Leave for one generation; see Admission.enter. */
export function admit({ admission }: ServerContext, { client, abort }: RequestInfo): Promise<Slot> {
  return admission.enter(client, abort.signal)[0]!;
}

/** Logs what a client isn't told of a failure; what a request did wrong is no matter for the log. */
export function logFailure({ logger }: ServerContext, { status, cause }: ApiError): void {
  if (status >= 500 && cause !== undefined) logger.error("internal error", cause);
}
