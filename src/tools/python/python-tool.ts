import { UsageError } from "../../errors.ts";
import { PYTHON } from "../../harmony/index.ts";
import type { Tool, ToolContext, ToolImage, ToolResult } from "../tool.ts";
import { codeOf } from "./code.ts";
import { Interpreter, type Outcome } from "./interpreter.ts";

import type { PackageIndex } from "./packages.ts";
import type { PackageFolder } from "./packages-node.ts";
import { type PyodideFiles, readPyodide } from "./pyodide-files.ts";
import type { Sandbox, SandboxEvents } from "./sandbox.ts";

export interface PythonOptions {
  /** A call's wall time; 120, which is what the model is told. */
  readonly timeoutSeconds?: number;
  /** WebAssembly's memory, in which all Python objects lie: 512 MiB. Files may take half as much besides. */
  readonly memoryBytes?: number;
  /** Characters of printed text that the model gets to read: 30 000. */
  readonly outputLimit?: number;
  /** Variables stay from call to call, as the model expects; with false each call has a fresh interpreter. */
  readonly stateful?: boolean;
  /** Starts Python at once rather than with the first call. */
  readonly prewarm?: boolean;
  /** A folder of wheels for this Pyodide, or a whole Pyodide release; read by the host, never by the sandbox. */
  readonly packages?: string;
  /** Pyodide's own files: a folder, or in browsers a URL, where it is needed. The npm package's, if left out. */
  readonly pyodide?: string;
}

export interface PythonTool extends Tool {
  /** Resolves when Python waits for code; starts it if need be. Rejects when it can't start. */
  warm(): Promise<void>;
  close(): void;
}

const NO_OUTPUT =
  "[WARN] No output available. Use print() to output anything to stdout to receive the output";
const LOST = "Python was restarted: all variables and files are lost.";

/**
 * Python, on Pyodide, in a process (Node.js, Deno, Bun) or worker (browsers) of its own, without files, network,
 * environment or processes of the host. Needs the npm package `pyodide`, of the version `PYODIDE_VERSION`.
 *
 * @throws UsageError on options out of range
 */
export function pythonTool(options: PythonOptions = {}): PythonTool {
  const seconds = inRange("timeoutSeconds", options.timeoutSeconds ?? 120, 0.05, 86_400);
  const memoryBytes = inRange(
    "memoryBytes",
    options.memoryBytes ?? 512 * 2 ** 20,
    64 * 2 ** 20,
    4 * 2 ** 30 - 65536,
  );
  const outputLimit = inRange("outputLimit", options.outputLimit ?? 30_000, 100, 2 ** 22);
  const stateful = options.stateful ?? true;

  let files: Promise<PyodideFiles> | undefined;
  let packages: PackageFolder | undefined;
  let running: { interpreter: Interpreter; packages: PackageIndex | undefined } | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let closed = false;
  // cells have run in an interpreter that is gone, and the model hasn't been told
  let untoldLoss = false;
  let used = false;

  async function start(): Promise<NonNullable<typeof running>> {
    if (running !== undefined && !running.interpreter.ended) return running;
    if (options.packages !== undefined)
      packages ??= await (await import("./packages-node.ts")).openPackages(options.packages);
    const interpreter = new Interpreter({
      start: startSandbox,
      files: () => {
        files ??= readFiles(options.pyodide).catch((error: unknown) => {
          files = undefined;
          throw error;
        });
        return files;
      },
      memoryBytes,
    });
    running = { interpreter, packages: packages?.index() };
    return running;
  }

  async function warm(): Promise<void> {
    if (closed) throw new UsageError("the Python tool is closed");
    await (await start()).interpreter.ready();
  }

  async function run(code: string, { signal }: ToolContext): Promise<ToolResult> {
    signal.throwIfAborted();
    let stop = (): void => {};
    try {
      const started = await start();
      const { interpreter } = started;
      stop = () => {
        untoldLoss ||= used;
        interpreter.kill("aborted");
      };
      signal.addEventListener("abort", stop);
      await interpreter.ready();
      if (started.packages !== undefined) {
        const missing = await interpreter.missing(code);
        for (const file of started.packages.filesFor(missing))
          interpreter.install(await packages!.read(file));
      }
      used = true;
      const outcome = await interpreter.run(code, seconds, outputLimit);
      signal.throwIfAborted();
      const result = describe(outcome, seconds);
      if (!untoldLoss) return result;
      untoldLoss = false;
      return { ...result, text: `[NOTE] ${LOST}\n${result.text}` };
    } catch (error) {
      signal.throwIfAborted();
      running?.interpreter.kill("failed");
      return { text: `[ERROR] Python can't run: ${(error as Error).message}`, isError: true };
    } finally {
      signal.removeEventListener("abort", stop);
      if (!stateful || running?.interpreter.ended) {
        running?.interpreter.kill("done");
        running = undefined;
        used = false;
        if (!stateful) untoldLoss = false;
        if (options.prewarm && !closed) void start().catch(() => {});
      }
    }
  }

  if (options.prewarm) void start().catch(() => {});
  return {
    namespace: PYTHON,
    placement: "system",
    warm,
    async call(call, context) {
      const turn = queue.then(async () => {
        if (closed) return { text: "[ERROR] Python is closed", isError: true };
        return await run(codeOf(call.content), context);
      });
      queue = turn.catch(() => {});
      return await turn;
    },
    close() {
      closed = true;
      running?.interpreter.kill("closed");
    },
  };
}

async function startSandbox(events: SandboxEvents): Promise<Sandbox> {
  if (globalThis.process?.versions?.node !== undefined)
    return (await import("./sandbox-node.ts")).startSandbox(events);
  return (await import("./sandbox-web.ts")).startSandbox(events);
}

async function readFiles(from: string | undefined): Promise<PyodideFiles> {
  if (globalThis.process?.versions?.node !== undefined)
    return await (await import("./pyodide-files-node.ts")).readPyodideFolder(from);
  if (from === undefined)
    throw new UsageError("Python needs the URL of Pyodide's files here", {
      hint: "Give it as the option `pyodide`.",
    });
  return await readPyodide(async (name) => {
    const response = await fetch(
      new URL(name, new URL(`${from.replace(/\/$/, "")}/`, globalThis.location?.href)),
    );
    if (!response.ok) throw new UsageError("Pyodide's files can't be fetched", { where: response.url });
    return new Uint8Array(await response.arrayBuffer());
  });
}

/** What the model reads, as Jupyter would show it. */
function describe(outcome: Outcome, seconds: number): ToolResult {
  if (outcome.type === "lost") {
    const what = {
      time: `Execution timed out after ${seconds} seconds.`,
      memory: "Python took too much memory.",
      crash: `Python ended (${outcome.detail}).`,
    }[outcome.reason];
    return { text: joined(outcome.output, `[ERROR] ${what} ${LOST}`), isError: true };
  }
  const { error, timedOut, images } = readReply(outcome.reply);
  const cut = outcome.cut > 0 ? `[… ${outcome.cut} more characters were cut]` : "";
  const late = timedOut ? `[ERROR] Execution timed out after ${seconds} seconds. Variables are kept.` : "";
  const text = joined(outcome.output, cut, error ?? "", late);
  return {
    text: text === "" && images.length === 0 ? NO_OUTPUT : text === "" ? "[figure]" : text,
    ...(error !== null ? { isError: true } : {}),
    ...(images.length > 0 ? { images } : {}),
  };
}

function joined(...parts: string[]): string {
  const full = parts.map((part) => part.replace(/\s+$/, "")).filter((part) => part !== "");
  return full.join("\n");
}

interface Reply {
  readonly error: string | null;
  readonly timedOut: boolean;
  readonly images: readonly ToolImage[];
}

/** Python can forge its reply; a forged one may be any JSON, and harms nobody. */
function readReply(json: string): Reply {
  const reply = JSON.parse(json) as Record<string, unknown> | null;
  const images: ToolImage[] = [];
  const list = Array.isArray(reply?.["images"]) ? (reply["images"] as unknown[]).slice(0, 16) : [];
  for (const item of list) {
    const { mediaType, data } = (item ?? {}) as Record<string, unknown>;
    if (typeof mediaType !== "string" || typeof data !== "string") continue;
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    if (isImage(mediaType, bytes)) images.push({ mediaType, data: bytes });
  }
  const error = typeof reply?.["error"] === "string" ? reply["error"].slice(0, 20_000) : null;
  return { error, timedOut: reply?.["timedOut"] === true, images };
}

const SIGNATURES: Readonly<Record<string, RegExp>> = {
  "image/png": /^\x89PNG/,
  "image/jpeg": /^\xff\xd8\xff/,
  "image/gif": /^GIF8[79]a/,
  "image/webp": /^RIFF[\s\S]{4}WEBP/,
  "image/svg+xml": /^[\s\S]{0,400}<svg/,
};

function isImage(mediaType: string, bytes: Uint8Array): boolean {
  if (!Object.hasOwn(SIGNATURES, mediaType)) return false;
  return SIGNATURES[mediaType]!.test(String.fromCharCode(...bytes.subarray(0, 500)));
}

function inRange(name: string, value: number, least: number, most: number): number {
  if (!(value >= least && value <= most))
    throw new UsageError(`${name} is out of range`, { expected: `${least} to ${most}`, found: `${value}` });
  return value;
}
