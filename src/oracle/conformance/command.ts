import { type ChildProcess, spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { openNodeFile } from "../../checkpoint/file-node.ts";
import type { Message } from "../../harmony/messages.ts";
import { readAnyTrace } from "../formats/index.ts";
import { readNpy } from "../formats/npy.ts";
import { GOLDEN } from "./goldens.ts";
import { type Activation, type LogitRows, NotOffered, type Runtime } from "./runtime.ts";

export interface CommandOptions {
  /** Longest wait for one answer, in milliseconds; the first includes loading. Default 120,000. */
  readonly timeout?: number;
  /** Folder of the pack, which the command finds in GPT_OSS_GOLDEN. */
  readonly golden?: string;
}

/** A runtime behind a command; `close` ends it. */
export interface CommandRuntime extends Runtime, AsyncDisposable {
  close(): Promise<void>;
}

/** A line of this length ends the command; 300 rows of 200 logits are 1.3 MB. */
const MAX_LINE = 64 << 20;
/** Bytes of output that is no answer, such as progress. */
const MAX_NOISE = 16 << 20;
const MAX_FILE = 1 << 30;

/**
 * Runs a command, through the shell, that answers requests as JSON Lines: a request on its standard input, an answer on its
 * standard output. docs/conformance.md has the requests. Lines that don't begin with `{` are ignored.
 */
export function commandRuntime(
  command: string,
  { timeout = 120_000, golden = GOLDEN }: CommandOptions = {},
): CommandRuntime {
  const child = new Child(command, timeout, golden);
  const ask = (request: object): Promise<Answer> => child.ask(request);
  let sessions = 0;
  return {
    logits: async (ids) => logitsOf(await ask({ ids })),
    trace: async (ids) => activationsOf(await ask({ ids, trace: true })),
    async batch(prompts) {
      const { batch } = await ask({ batch: prompts });
      return listOf(batch, "batch").map((logits) => rowsOf(logits));
    },
    open() {
      const session = ++sessions;
      return {
        feed: async (ids) => logitsOf(await ask({ session, ids })),
        truncate: async (tokens) => void (await ask({ session, truncate: tokens })),
        close: async () => void (await ask({ session, close: true })),
      };
    },
    encode: async (text) => idsOf(await ask({ encode: text })),
    async decode(ids) {
      const { text } = await ask({ decode: ids });
      if (typeof text !== "string") throw new Error("the answer has no text");
      return text;
    },
    render: async (messages, { dropAnalysis }) => idsOf(await ask({ render: messages, dropAnalysis })),
    parse: async (ids, role) =>
      listOf((await ask({ parse: ids, role }))["messages"], "messages") as Message[],
    close: () => child.close(),
    [Symbol.asyncDispose]: () => child.close(),
  };
}

type Answer = Readonly<Record<string, unknown>>;

/** A process that is asked one thing at a time. */
class Child {
  readonly #process: ChildProcess;
  readonly #timeout: number;
  #line: Buffer[] = [];
  #lineBytes = 0;
  #noise = 0;
  #stderr = "";
  #ended: string | undefined;
  #waiting: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;
  #requests = 0;

  constructor(command: string, timeout: number, golden: string) {
    this.#timeout = timeout;
    this.#process = spawn(command, {
      shell: true,
      detached: process.platform !== "win32", // a group of its own, so that what the shell started ends with it
      env: { ...process.env, GPT_OSS_GOLDEN: golden },
    });
    this.#process.stdout!.on("data", (bytes: Buffer) => this.#read(bytes));
    this.#process.stderr!.on("data", (bytes: Buffer) => {
      this.#stderr = (this.#stderr + bytes.toString()).slice(-2000);
    });
    this.#process.stdin!.on("error", () => {}); // "close" tells of the end
    this.#process.on("error", (error) => this.#end(`the command can't be run: ${error.message}`));
    this.#process.on("close", (code, signal) => {
      const last = this.#stderr.trim().split("\n").slice(-3).join(" | ");
      this.#end(`the command has ended with ${signal ?? `status ${code}`}${last && `; it said: ${last}`}`);
    });
  }

  ask(request: object): Promise<Answer> {
    if (this.#ended !== undefined) return Promise.reject(new Error(this.#ended));
    if (this.#waiting) return Promise.reject(new Error("a command is asked one thing at a time"));
    const id = ++this.#requests;
    return new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(`no answer within ${this.#timeout / 1000} s`), this.#timeout);
      this.#waiting = {
        resolve: (answer) => {
          clearTimeout(timer);
          if (answer["id"] !== undefined && answer["id"] !== id)
            return this.#fail(`an answer to request ${text(answer["id"])}, expected ${id}`, reject);
          if (answer["unsupported"]) reject(new NotOffered());
          else if (answer["error"] !== undefined)
            reject(new Error(`the command says: ${text(answer["error"])}`));
          else resolve(answer);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      };
      this.#process.stdin!.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  #read(bytes: Buffer): void {
    if (this.#ended !== undefined) return;
    let rest = bytes;
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      this.#line.push(rest.subarray(0, end));
      this.#answer(Buffer.concat(this.#line));
      this.#line = [];
      this.#lineBytes = 0;
      rest = rest.subarray(end + 1);
    }
    this.#line.push(rest);
    this.#lineBytes += rest.length;
    if (this.#lineBytes > MAX_LINE)
      this.#fail(`a line of more than ${MAX_LINE >> 20} MiB; write a file and answer {"file": path}`);
  }

  #answer(line: Buffer): void {
    const waiting = this.#waiting;
    if (!waiting || line[0] !== 0x7b) {
      this.#noise += line.length + 1;
      if (this.#noise > MAX_NOISE) this.#fail("too much output that is no answer");
      return;
    }
    this.#waiting = undefined;
    let answer: Answer;
    try {
      answer = JSON.parse(line.toString("utf8")) as Answer;
    } catch {
      const literal = /\b(?:NaN|-?Infinity)\b/.exec(line.toString("utf8"))?.[0];
      const what = literal
        ? `${literal} in the answer, which JSON has no word for`
        : `the answer is no JSON: ${text(line.toString("utf8", 0, 100))}`;
      waiting.reject(new Error(what));
      return;
    }
    waiting.resolve(answer);
  }

  /** Gives up on the command. */
  #fail(reason: string, reject?: (error: Error) => void): void {
    reject?.(new Error(reason));
    this.#end(reason);
    this.#kill();
  }

  #end(reason: string): void {
    this.#ended ??= reason;
    this.#line = [];
    this.#waiting?.reject(new Error(this.#ended));
    this.#waiting = undefined;
  }

  #kill(): void {
    const { pid } = this.#process;
    if (pid === undefined) return;
    try {
      if (process.platform === "win32") this.#process.kill("SIGKILL");
      else process.kill(-pid, "SIGKILL");
    } catch {
      // it is gone already
    }
  }

  /** Closes its input, which asks it to end, and ends it if it doesn't. */
  async close(): Promise<void> {
    if (
      this.#process.exitCode === null &&
      this.#process.signalCode === null &&
      this.#process.pid !== undefined
    ) {
      const gone = new Promise((resolve) => this.#process.once("close", resolve));
      this.#process.stdin!.end();
      const timer = setTimeout(() => this.#kill(), this.#ended === undefined ? 2000 : 0);
      await gone;
      clearTimeout(timer);
    }
    this.#kill(); // what the command itself may have left running
  }
}

async function logitsOf(answer: Answer): Promise<LogitRows> {
  if (answer["file"] === undefined) return rowsOf(answer["logits"]);
  const path = await checkedPath(answer["file"]);
  const logits = path.endsWith(".npy")
    ? await readArray(path)
    : (await readAnyTrace(path)).trace.get("logits");
  if (logits?.shape.length !== 2) throw new Error("the file has no logits of shape [tokens, vocabulary]");
  const [tokens, vocab] = logits.shape as [number, number];
  return Array.from(
    { length: tokens },
    (_, t) => Array.prototype.slice.call(logits.data, t * vocab, (t + 1) * vocab) as number[],
  );
}

/** [[…] a token], or one row. */
function rowsOf(value: unknown): LogitRows {
  const list = listOf(value, "logits");
  const rows = Array.isArray(list[0]) ? list : [list];
  for (const row of rows)
    if (!Array.isArray(row) || !row.every((x) => typeof x === "number"))
      throw new Error("logits are to be rows of numbers; null stands for NaN in some writers");
  return rows as number[][];
}

async function activationsOf(answer: Answer): Promise<ReadonlyMap<string, Activation>> {
  if (answer["file"] === undefined) throw new NotOffered();
  return (await readAnyTrace(await checkedPath(answer["file"]))).trace;
}

async function readArray(path: string): Promise<Activation> {
  const file = await openNodeFile(path);
  try {
    return await readNpy(file);
  } finally {
    await file.close();
  }
}

async function checkedPath(path: unknown): Promise<string> {
  if (typeof path !== "string") throw new Error("file is to be a path");
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile() || found.size > MAX_FILE)
    throw new Error(`no file of at most ${MAX_FILE >> 20} MiB: ${text(path)}`);
  return path;
}

function idsOf({ ids }: Answer): number[] {
  const list = listOf(ids, "ids");
  if (!list.every((id) => Number.isSafeInteger(id))) throw new Error("ids are to be integers");
  return list as number[];
}

function listOf(value: unknown, name: string): unknown[] {
  if (!Array.isArray(value)) throw new Error(`the answer has no ${name}`);
  return value;
}

function text(value: unknown): string {
  const string = typeof value === "string" ? value : JSON.stringify(value);
  return string.length > 300 ? `${string.slice(0, 300)}…` : string;
}
