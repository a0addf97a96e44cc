import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, Option } from "commander";
import { UsageError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import {
  applyPatchTool,
  type BrowserBackend,
  type BrowserTool,
  backendFromEnvironment,
  browserTool,
  exa,
  localWeb,
  mcpTools,
  pythonTool,
  readMcpConfig,
  searxng,
  type Tool,
  you,
} from "../tools/index.ts";
import { readText } from "./arguments.ts";

/** A few pages to browse without a network, which the small checkpoint was trained for. */
const LITTLE_WEB = fileURLToPath(new URL("../../golden/web", import.meta.url));

export const TOOL_NAMES: readonly string[] = ["python", "browser", "apply_patch", "mcp"];

export interface ToolFlags {
  tools: string[];
  search?: string;
  root: string;
  mcp?: string;
  pythonPackages?: string;
}

export function toolFlags(command: Command): Command {
  return command
    .option(
      "--tools <names>",
      "what the model may use, separated by commas: python, browser, apply_patch (mcp comes with --mcp)",
      names,
      [],
    )
    .addOption(searchOption())
    .option("--root <folder>", "what apply_patch may change", ".")
    .option("--mcp <file>", 'MCP servers whose tools the model may use, as {"mcpServers": {…}}')
    .option("--python-packages <folder>", "Pyodide packages that Python may import, such as numpy");
}

export function searchOption(): Option {
  return new Option(
    "--search <where>",
    "where browser searches: a SearXNG address, exa, you, or a folder of pages (default: what SEARXNG_URL, EXA_API_KEY or YDC_API_KEY name)",
  );
}

export function names(text: string): string[] {
  return text.split(",").filter((name) => name !== "");
}

/** The tools of a chat: made when first asked for, and kept while they are in use. */
export class Toolbox {
  readonly #flags: ToolFlags;
  readonly #isSmallModel: boolean;
  readonly #tokenizer: Tokenizer;
  #inUse: ReadonlyMap<string, readonly Tool[]> = new Map();

  /** @param isSmallModel whether the model is the one that comes along, which knows the little web only */
  constructor(flags: ToolFlags, isSmallModel: boolean, tokenizer: Tokenizer) {
    this.#flags = flags;
    this.#isSmallModel = isSmallModel;
    this.#tokenizer = tokenizer;
  }

  get names(): string[] {
    return [...this.#inUse.keys()];
  }

  get tools(): Tool[] {
    return [...this.#inUse.values()].flat();
  }

  /** The browser, to resolve what is cited from its pages. */
  get browser(): BrowserTool | undefined {
    return this.#inUse.get("browser")?.[0] as BrowserTool | undefined;
  }

  /** Takes these tools and no others; those that it has already keep their state. */
  async use(names: readonly string[]): Promise<void> {
    const unknown = names.find((name) => !TOOL_NAMES.includes(name));
    if (unknown !== undefined)
      throw new UsageError("no such tool", { expected: TOOL_NAMES.join(", "), found: unknown });
    const next = new Map<string, readonly Tool[]>();
    for (const name of new Set(names)) next.set(name, this.#inUse.get(name) ?? (await this.#make(name)));
    const dropped = [...this.#inUse].flatMap(([name, tools]) => (next.has(name) ? [] : tools));
    this.#inUse = next;
    await Promise.all(dropped.map((tool) => tool.close?.()));
  }

  async #make(name: string): Promise<readonly Tool[]> {
    const { pythonPackages, root, mcp } = this.#flags;
    for (const folder of [name === "apply_patch" && root, name === "python" && pythonPackages]) {
      if (folder && !statSync(folder, { throwIfNoEntry: false })?.isDirectory())
        throw new UsageError("no such folder", { where: folder });
    }
    if (name === "python")
      return [
        pythonTool({ prewarm: true, ...(pythonPackages !== undefined && { packages: pythonPackages }) }),
      ];
    if (name === "browser") return [browserTool({ backend: this.#backend(), tokenizer: this.#tokenizer })];
    if (name === "apply_patch") return [applyPatchTool({ root })];
    if (mcp === undefined)
      throw new UsageError("no MCP servers", { hint: "Name the file that lists them by --mcp." });
    const servers = readMcpConfig(await readText(mcp, "the MCP servers"), mcp);
    const prefixed = servers.length > 1;
    const tools = await Promise.all(
      servers.map(({ name, server }) => mcpTools(server, prefixed ? { prefix: name } : {})),
    );
    return tools.flat();
  }

  #backend(): BrowserBackend {
    const { search } = this.#flags;
    const { env } = process;
    const key = (name: string): string => {
      const value = env[name];
      if (!value)
        throw new UsageError(`${name} isn't set`, { hint: `--search ${search} needs a key there.` });
      return value;
    };
    if (search === "exa") return exa({ apiKey: key("EXA_API_KEY") });
    if (search === "you") return you({ apiKey: key("YDC_API_KEY") });
    if (search !== undefined && /^https?:\/\//.test(search)) return searxng({ url: search });
    if (search !== undefined) {
      if (existsSync(join(search, "index.json"))) return localWeb(search);
      throw new UsageError("nowhere to search", {
        expected: "an http address, exa, you, or a folder of pages with an index.json",
        found: search,
      });
    }
    const backend = this.#isSmallModel ? localWeb(LITTLE_WEB) : backendFromEnvironment(env);
    if (backend) return backend;
    throw new UsageError("the browser has nowhere to search", {
      hint: "Give --search, or set SEARXNG_URL, EXA_API_KEY or YDC_API_KEY.",
    });
  }
}
