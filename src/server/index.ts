import { randomUUID } from "node:crypto";
import type { Hono } from "hono";
import type { TokenSource } from "../generation/chat.ts";
import type { Model } from "../generation/model.ts";
import { PrefixCache } from "../generation/prefix-cache.ts";
import { Admission } from "./admission.ts";
import { createApp } from "./app.ts";
import type { BuiltInTools, Limits, Logger, ServerContext, ServerEnv } from "./context.ts";
import { invalid } from "./errors.ts";
import { Metrics } from "./metrics.ts";
import { LOOPBACK_HOSTS } from "./security.ts";
import { openStore, type ResponseStore } from "./store/index.ts";
import { RememberEnds } from "./store/remember-ends.ts";
import { TimeShare } from "./time-share.ts";

export type { BuiltInTools, Limits, Logger, ServerContext } from "./context.ts";
export { ApiError } from "./errors.ts";
export { type Listening, type ListenOptions, serve } from "./listen.ts";
export { openStore, type ResponseStore, type StoreOptions } from "./store/index.ts";

export interface ServerOptions {
  /** The model's name for clients; by default that of its folder or file. */
  readonly id?: string;
  readonly aliases?: readonly string[];
  /** What generates; by default a PrefixCache, through which requests share what has been computed. */
  readonly source?: TokenSource;
  /** Bytes of keys and values that the PrefixCache keeps, 1 GiB by default. */
  readonly prefixCacheBytes?: number;
  /** Generations that run at a time, 16 by default. */
  readonly parallel?: number;
  /** Generations that wait for their turn, 64 by default; more are answered with 429. */
  readonly queue?: number;
  readonly limits?: Partial<Limits>;
  /** Any of these opens the API; without any, it is open to all who reach it. */
  readonly apiKeys?: readonly string[];
  /** Names that requests may address the server by, without port; "any" allows all. Default: those of the loopback. */
  readonly hosts?: readonly string[] | "any";
  /** Origins of web pages that may use the server; none but its own by default, "*" for all. */
  readonly corsOrigins?: readonly string[];
  /** Tools that requests may have the server run; none by default. */
  readonly builtInTools?: BuiltInTools;
  /** Where responses are kept, as `openStore` opens it; the caller closes it. In memory by default. */
  readonly store?: ResponseStore;
  /** Silent by default. */
  readonly logger?: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** The day that the model is told, YYYY-MM-DD, or undefined for none; by default that of `now` in UTC. */
  readonly today?: () => string | undefined;
}

export interface GptOssServer {
  /**
   * Answers a request: what `Deno.serve`, `Bun.serve` and `serve` of this module take.
   *
   * @param connection the client's address, if it is known: clients without API key then take turns by it
   */
  fetch(request: Request, connection?: { readonly address?: string }): Promise<Response>;
  /**
   * Takes no more requests, lets those under way end for so many seconds (default 30), and aborts what is left. The model
   * stays open.
   */
  close(graceSeconds?: number): Promise<void>;
  readonly context: ServerContext;
}

const DEFAULT_LIMITS: Limits = {
  bodyBytes: 4 * 2 ** 20,
  jsonDepth: 64,
  jsonValues: 2 ** 15,
  messages: 2048,
  tools: 128,
  schemaCharacters: 256 * 1024,
  choices: 8,
  contextTokens: Number.POSITIVE_INFINITY,
};

/** OpenAI's HTTP API over a model, as one function from requests to responses that every runtime can serve. */
export function createServer(model: Model, options: ServerOptions = {}): GptOssServer {
  const { parallel = 16, queue = 64, hosts = LOOPBACK_HOSTS, now = Date.now } = options;
  const admission = new Admission({ parallel, queue });
  const prefixes = options.source
    ? undefined
    : new PrefixCache(model, { bytes: options.prefixCacheBytes ?? 2 ** 30 });
  /** If it isn't the caller's. */
  let own: ResponseStore | undefined;
  let store: Promise<ResponseStore> | undefined;
  const open = async (): Promise<ResponseStore> => {
    if (!options.store) own = await openStore({ now });
    return new RememberEnds(options.store ?? own!);
  };
  const context: ServerContext = {
    served: [
      {
        id: options.id ?? nameOf(model),
        aliases: options.aliases ?? [],
        created: Math.floor(now() / 1000),
        model,
        source: options.source ?? prefixes!,
      },
    ],
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    admission,
    timeShare: new TimeShare(admission.capacity),
    metrics: new Metrics(admission, prefixes),
    logger: options.logger ?? { info() {}, error() {} },
    builtInTools: options.builtInTools ?? NO_TOOLS,
    store: () => {
      store ??= open();
      return store;
    },
    newId: (prefix) => prefix + randomUUID().replaceAll("-", ""),
    now,
    today: options.today ?? (() => new Date(now()).toISOString().slice(0, 10)),
  };
  const app: Hono<ServerEnv> = createApp(context, {
    keys: options.apiKeys ?? [],
    hosts: hosts === "any" ? undefined : hosts,
    origins: options.corsOrigins ?? [],
  });
  return {
    context,
    fetch: async (request, connection = {}) => app.fetch(request, connection),
    close: async (graceSeconds = 30) => {
      await close(admission, graceSeconds);
      await store;
      await own?.close();
      prefixes?.[Symbol.dispose]();
    },
  };
}

async function close(admission: Admission, graceSeconds: number): Promise<void> {
  admission.close();
  const timer = setTimeout(() => admission.abort(), graceSeconds * 1000);
  await admission.idle();
  clearTimeout(timer);
}

const NO_TOOLS: BuiltInTools = {
  names: [],
  open: async ([name]) => {
    if (name === undefined) return [];
    throw invalid("tools", `The server doesn't run '${name}': its operator has switched no tools on.`);
  },
};

function nameOf(model: Model): string {
  const name = model.checkpoint.location.split(/[/\\]/).findLast((part) => part !== "" && part !== ".");
  return name?.replace(/\.gguf$/, "") || "gpt-oss";
}
