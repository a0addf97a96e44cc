import { once } from "node:events";
import { createServer as createSocketServer } from "node:net";
import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { load, type Model } from "../generation/model.ts";
import { invalid } from "../server/errors.ts";
import type { BuiltInTools, Logger } from "../server/index.ts";
import { isLoopback, LOOPBACK_HOSTS } from "../server/security.ts";
import { mcpTools, readMcpConfig } from "../tools/index.ts";
import {
  byteSize,
  type EngineFlags,
  engineFlags,
  integer,
  loadOptions,
  modelOption,
  modelPath,
  readText,
} from "./arguments.ts";
import { printable, today } from "./terminal.ts";
import { names, searchOption, Toolbox } from "./tools.ts";

interface Options extends EngineFlags {
  model?: string;
  host: string;
  port: number;
  name?: string;
  alias: string[];
  apiKey: string[];
  cors: string[];
  allowHost: string[];
  parallel: number;
  queue: number;
  context?: number;
  bodyLimit: number;
  prefixCache: number;
  grace: number;
  tools: string[];
  search?: string;
  mcp?: string;
  pythonPackages?: string;
  store?: string;
  storeDays: number;
  quiet?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command("serve")
    .description("serve a model over OpenAI's HTTP API")
    .addOption(modelOption())
    .option("--host <address>", "address to listen at; 0.0.0.0 for all networks", "127.0.0.1")
    .option("--port <n>", "port to listen at; 0 takes any that is free", portNumber, 8000)
    .option("--name <id>", "the model's name for clients (default: that of its folder or file)")
    .option("--alias <id>", "another name of it (repeatable)", collect, [])
    .option(
      "--api-key <key>",
      "ask clients for this key (repeatable; better in GPT_OSS_API_KEY, since command lines can be seen)",
      collect,
      [],
    )
    .option(
      "--cors <origin>",
      "let web pages of this origin use the server; * for all (repeatable)",
      collect,
      [],
    )
    .option(
      "--allow-host <name>",
      "another name that clients may address the server by (repeatable)",
      collect,
      [],
    )
    .option("--parallel <n>", "generations that run at a time", integer(1), 16)
    .option("--queue <n>", "generations that wait for their turn; more get 429", integer(0), 64)
    .option("--context <n>", "tokens of prompt and answer at most (default: the model's context)", integer(2))
    .option("--body-limit <bytes>", "size of a request at most", integer(1), 4 * 2 ** 20)
    .option("--prefix-cache <size>", "keys and values of earlier prompts to keep", byteSize, 2 ** 30)
    .option(
      "--grace <seconds>",
      "time that answers under way have to end when the server stops",
      integer(0),
      30,
    )
    .option("--tools <names>", "tools that requests may have the server run: python, browser", names, [])
    .addOption(searchOption())
    .option("--mcp <file>", 'MCP servers whose tools requests may use, as {"mcpServers": {…}}')
    .option("--python-packages <folder>", "Pyodide packages that Python may import, such as numpy")
    .option("--store <file>", "SQLite database to keep responses in (default: in memory, 64 MiB at most)")
    .option("--store-days <n>", "days that responses are kept", integer(1), 30)
    .option("--quiet", "no line for each request");
  engineFlags(command).action(run);
}

function portNumber(text: string): number {
  const port = integer(0)(text);
  if (port <= 65_535) return port;
  throw new UsageError("the port is out of range", { expected: "0 to 65535", found: text });
}

function collect(text: string, all: string[]): string[] {
  return [...all, text];
}

/** No other command needs its libraries. Not in `run`: within a function that has `await using`, tsc forgets to rewrite imports. */
const loadServer = () => import("../server/index.ts");

async function run(options: Options): Promise<void> {
  const { createServer, openStore, serve } = await loadServer();
  const { host, port, parallel, queue, grace, name, context } = options;
  // all that may be wrong is told ahead of a load that takes minutes
  await checkAddress(host, port);
  const makeTools = await builtInTools(options);
  const store = await openStore({
    ...(options.store !== undefined && { file: options.store }),
    days: options.storeDays,
  });
  await using _ = { [Symbol.asyncDispose]: () => store.close() };
  await using model = await load(modelPath(options.model), loadOptions(options));
  if (!model.tokenizer) tellOfIds(model);
  const keyFromEnvironment = process.env["GPT_OSS_API_KEY"];
  const apiKeys = keyFromEnvironment ? [...options.apiKey, keyFromEnvironment] : options.apiKey;
  const id = name ?? (options.model === undefined ? "gpt-oss-small" : undefined);
  const server = createServer(model, {
    ...(id !== undefined && { id }),
    aliases: options.alias,
    parallel,
    queue,
    limits: { bodyBytes: options.bodyLimit, ...(context !== undefined && { contextTokens: context }) },
    prefixCacheBytes: options.prefixCache,
    apiKeys,
    hosts: hostsOf(host, options.allowHost),
    corsOrigins: options.cors,
    builtInTools: makeTools(
      () => new Toolbox({ ...options, root: "." }, options.model === undefined, model.requireTokenizer()),
    ),
    store,
    logger: logger(options.quiet ?? false),
    today,
  });
  const listening = await serve(server, { hostname: host, port });
  const stopped = signalled(); // ahead of the line that others wait for
  console.log(`${server.context.served[0]!.id} at ${listening.url}/v1. Ctrl-C stops it.`);
  if (!isLoopback(host) && apiKeys.length === 0)
    console.error(
      "Warning: whoever reaches this machine can use the model. Set GPT_OSS_API_KEY to ask for a key.",
    );

  await stopped;
  void signalled().then(() => server.close(0)); // ahead of the line that invites it
  console.error(`Stopping: answers under way have ${grace} s to end. Ctrl-C again stops at once.`);
  await server.close(grace);
  await listening.stop();
}

/** @throws UsageError if somebody else listens there, and the system's error if nobody can */
async function checkAddress(host: string, port: number): Promise<void> {
  const probe = createSocketServer().listen(port, host);
  try {
    await once(probe, "listening");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new UsageError("the port is in use", {
      where: `${host}:${port}`,
      hint: "Name another by --port; 0 takes any that is free.",
    });
  }
  probe.close();
  await once(probe, "close");
}

/** A damaged tokenizer is an error, none at all leaves something to serve. */
function tellOfIds(model: Model): void {
  try {
    model.requireTokenizer();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`Warning: ${error.message} Without it only token ids are served, at /v1/completions.`);
  }
}

/** Names and addresses that requests may have as their host; on a network any, unless some are named. */
function hostsOf(host: string, allowed: readonly string[]): readonly string[] | "any" {
  if (!isLoopback(host) && allowed.length === 0) return "any";
  return [...LOOPBACK_HOSTS, host.includes(":") ? `[${host}]` : host, ...allowed];
}

function signalled(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.off("SIGINT", stop).off("SIGTERM", stop);
      resolve();
    };
    process.on("SIGINT", stop).on("SIGTERM", stop);
  });
}

/** Each conversation gets tools of its own: Python's variables and a browser's pages are nobody else's business. */
async function builtInTools(options: Options): Promise<(makeToolbox: () => Toolbox) => BuiltInTools> {
  const { tools, mcp } = options;
  const unknown = tools.find((name) => !SERVER_TOOLS.includes(name));
  if (unknown !== undefined)
    throw new UsageError("no such tool", { expected: SERVER_TOOLS.join(", "), found: unknown });
  const servers = mcp === undefined ? [] : readMcpConfig(await readText(mcp, "the MCP servers"), mcp);
  const known = [...tools, ...servers.map(({ name }) => name)];
  return (makeToolbox) => ({
    names: known,
    async open(asked) {
      const missing = asked.find((name) => !known.includes(name));
      if (missing !== undefined)
        throw invalid(
          "tools",
          `The server doesn't run '${missing.slice(0, 64)}': its operator hasn't switched that on.`,
        );
      const toolbox = makeToolbox();
      await toolbox.use(asked.filter((name) => tools.includes(name)));
      const connected = servers.filter(({ name }) => asked.includes(name));
      const remote = await Promise.all(
        connected.map(({ name, server }) => mcpTools(server, servers.length > 1 ? { prefix: name } : {})),
      );
      return [...toolbox.tools, ...remote.flat()];
    },
  });
}

const SERVER_TOOLS: readonly string[] = ["python", "browser"];

function logger(quiet: boolean): Logger {
  return {
    info: (line) => void (quiet || console.error(printable(line, process.stderr))),
    error(line, error) {
      console.error(`gpt-oss: ${line}`);
      if (error !== undefined) console.error(error);
    },
  };
}
