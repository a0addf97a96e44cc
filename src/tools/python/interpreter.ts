import type { FromSandbox, ToSandbox } from "./messages.ts";
import type { PyodideFiles } from "./pyodide-files.ts";
import type { Sandbox, SandboxEvents } from "./sandbox.ts";
import { SCRIPT_HEAP_BYTES } from "./sandbox.ts";
import { limitMemory } from "./wasm-memory.ts";

export interface InterpreterOptions {
  readonly start: (events: SandboxEvents) => Sandbox | Promise<Sandbox>;
  readonly files: () => Promise<PyodideFiles>;
  readonly memoryBytes: number;
}

/** How a cell ended. */
export type Outcome =
  | { readonly type: "done"; readonly reply: string; readonly cut: number; readonly output: string }
  /** The interpreter is gone, with all that it held. */
  | {
      readonly type: "lost";
      readonly reason: "time" | "memory" | "crash";
      readonly detail: string;
      readonly output: string;
    };

const PAGE_BYTES = 65536;
/** Between the deadline that Python is told of, which spares its variables, and the end of the process. */
const GRACE_SECONDS = 1.5;
const START_SECONDS = 120;
const WATCH_MILLISECONDS = 250;

/** One running Python, from its start to its end; made anew after that. */
export class Interpreter {
  readonly #options: InterpreterOptions;
  readonly #ready: Promise<void>;
  #sandbox: Sandbox | undefined;
  #end: string | undefined;
  #output = "";
  #answer: { take(message: FromSandbox): void; fail(reason: string): void } | undefined;

  constructor(options: InterpreterOptions) {
    this.#options = options;
    this.#ready = this.#boot();
    this.#ready.catch(() => {});
  }

  get ended(): boolean {
    return this.#end !== undefined;
  }

  /** Resolves when Python waits for code; rejects when it can't start. */
  ready(): Promise<void> {
    return this.#ready;
  }

  async missing(code: string): Promise<string[]> {
    const answer = await this.#ask({ type: "missing", code }, START_SECONDS);
    return answer.type === "missing" ? (JSON.parse(answer.names) as string[]) : [];
  }

  install(wheel: Uint8Array): void {
    this.#sandbox?.send({ type: "install" }, wheel);
  }

  async run(code: string, seconds: number, outputLimit: number): Promise<Outcome> {
    this.#output = "";
    let exceeded = false;
    const watch = setInterval(async () => {
      const held = await this.#sandbox?.residentBytes?.();
      // WebAssembly's memory, files, the script heap, and as much again as an idle sandbox takes
      if (held !== undefined && held > 1.5 * this.#options.memoryBytes + 2 * SCRIPT_HEAP_BYTES) {
        exceeded = true;
        this.kill("memory");
      }
    }, WATCH_MILLISECONDS);
    try {
      const message: ToSandbox = { type: "run", code, seconds, outputLimit };
      const answer = await this.#ask(message, seconds + GRACE_SECONDS);
      if (answer.type === "done")
        return { type: "done", reply: answer.reply, cut: answer.cut, output: this.#output };
      this.kill("crash");
      const detail = answer.type === "failed" ? String(answer.reason) : "an unexpected answer";
      return { type: "lost", reason: "crash", detail, output: this.#output };
    } catch (error) {
      const detail = (error as Error).message;
      const reason = exceeded ? "memory" : detail === "time" ? "time" : "crash";
      return { type: "lost", reason, detail, output: this.#output };
    } finally {
      clearInterval(watch);
    }
  }

  kill(reason: string): void {
    if (this.#end !== undefined) return;
    this.#end = reason;
    this.#sandbox?.kill();
    this.#answer?.fail(reason);
  }

  async #boot(): Promise<void> {
    const [files, sandbox] = await Promise.all([
      this.#options.files(),
      this.#options.start({
        message: (message) => this.#take(message),
        exit: (reason) => {
          this.#end ??= reason;
          this.#answer?.fail(reason);
        },
      }),
    ]);
    this.#sandbox = sandbox;
    if (this.#end !== undefined) {
      sandbox.kill();
      throw new Error(this.#end);
    }
    const limited = {
      ...files,
      wasm: limitMemory(files.wasm, Math.floor(this.#options.memoryBytes / PAGE_BYTES)),
    };
    for (const [name, bytes] of Object.entries(limited))
      sandbox.send({ type: "file", name: name as keyof PyodideFiles }, bytes);
    const answer = await this.#ask(
      { type: "boot", fileBytes: Math.floor(this.#options.memoryBytes / 2) },
      START_SECONDS,
    );
    if (answer.type === "ready") return;
    this.kill("crash");
    throw new Error(answer.type === "failed" ? answer.reason : "an unexpected answer");
  }

  /** Rejects with `time` after so many seconds, and with the reason if the interpreter ends. */
  async #ask(message: ToSandbox, seconds: number): Promise<FromSandbox> {
    if (this.#end !== undefined) throw new Error(this.#end);
    return await new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.kill("time"), Math.min(1000 * seconds, 2 ** 31 - 1));
      const settle = (): void => {
        clearTimeout(timer);
        this.#answer = undefined;
      };
      this.#answer = {
        take(answer) {
          settle();
          resolve(answer);
        },
        fail(reason) {
          settle();
          reject(new Error(reason));
        },
      };
      this.#sandbox!.send(message);
    });
  }

  #take(message: FromSandbox): void {
    // limited by the sandbox; if that has been broken, by the length of a line and the time
    if (message.type === "output") {
      if (this.#output.length < 2 ** 24) this.#output += String(message.text);
    } else this.#answer?.take(message);
  }
}
