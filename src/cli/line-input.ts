import { createInterface, type Interface } from "node:readline";

/** Lines that come within so many milliseconds of each other were pasted together. */
const PASTE = 20;

/** Reads what a user types, with a history, or the lines of a pipe. */
export class LineInput implements Disposable {
  readonly #in: NodeJS.ReadStream;
  readonly #out: NodeJS.WriteStream;
  /** Latest first. */
  history: string[];
  readonly #pipe: AsyncIterator<string> | undefined;
  #open: Interface | undefined;
  /** Typed while the program worked: whole inputs, and the beginning of one. */
  readonly #inputsAhead: string[] = [];
  #ahead = "";
  #onAnswer: ((yes: boolean) => void) | undefined;

  constructor(input: NodeJS.ReadStream, output: NodeJS.WriteStream, history: readonly string[] = []) {
    this.#in = input;
    this.#out = output;
    this.history = [...history];
    if (!this.isInteractive) this.#pipe = createInterface({ input })[Symbol.asyncIterator]();
  }

  get isInteractive(): boolean {
    return this.#in.isTTY && this.#out.isTTY;
  }

  /**
   * The next input, or undefined at the end of it (Ctrl-D). Text that is pasted comes as one, line breaks included; a line
   * that ends in a backslash goes on in the next.
   *
   * @param complete what Tab does: the candidates for a line
   */
  async next(prompt: string, complete: (line: string) => string[] = () => []): Promise<string | undefined> {
    if (this.#pipe) {
      const { done, value } = await this.#pipe.next();
      return done ? undefined : value;
    }
    let text = "";
    for (let ask = prompt; ; ask = "… ") {
      const line = await this.#ask(ask, complete);
      if (line === undefined) return undefined;
      if (!line.endsWith("\\")) return text + line;
      text += `${line.slice(0, -1)}\n`;
    }
  }

  #ask(prompt: string, complete: (line: string) => string[]): Promise<string | undefined> {
    return new Promise((resolve) => {
      const lines: string[] = [];
      const open = createInterface({
        input: this.#in,
        output: this.#out,
        prompt,
        history: this.history,
        historySize: 1000,
        removeHistoryDuplicates: true,
        completer: (line: string) => [complete(line), line],
      });
      this.#open = open;
      let interrupted = false;
      const finish = (text: string | undefined): void => {
        if (lines.length > 0 && open.line !== "") this.#out.write("\n"); // what was pasted has no line end
        resolve(text); // the first time counts: closing gets here again
        this.#open = undefined;
        open.close();
      };
      open.on("history", (history) => {
        this.history = history;
      });
      open.on("line", (line) => {
        lines.push(line);
        if (lines.length === 1)
          setTimeout(() => finish([...lines, ...(open.line ? [open.line] : [])].join("\n")), PASTE);
      });
      open.on("SIGINT", () => {
        if (interrupted && open.line === "") return finish(undefined);
        interrupted = open.line === "";
        this.#out.write(interrupted ? "\n(Ctrl-C again, Ctrl-D or /exit to leave)\n" : "^C\n");
        open.write(null, { ctrl: true, name: "u" });
        open.prompt();
      });
      open.on("close", () => {
        if (lines.length === 0) finish(undefined);
      });
      open.prompt();
      let ahead = this.#inputsAhead.shift();
      if (ahead === undefined) {
        ahead = this.#ahead;
        this.#ahead = "";
      }
      if (ahead !== "") open.write(ahead);
    });
  }

  /** While a program works: calls back for Ctrl-C and other control keys, and keeps the rest of what is typed for the next input. */
  listen(onKey: (key: "interrupt" | "fold") => void): Disposable {
    const onSignal = (): void => onKey("interrupt");
    process.on("SIGINT", onSignal); // from outside, or where keys can't be had one by one
    const onData = (data: Buffer): void => {
      if (data.includes(0x0f)) onKey("fold");
      else if (data.includes(0x03)) onKey("interrupt");
      else if (this.#onAnswer) this.#onAnswer(/^y$/i.test(data.toString()));
      else {
        this.#ahead += data.toString(); // a piece with several lines was pasted, and is one input
        if (/[\r\n]$/.test(this.#ahead)) {
          this.#inputsAhead.push(this.#ahead);
          this.#ahead = "";
        }
      }
    };
    if (this.isInteractive) {
      this.#in.setRawMode(true);
      this.#in.on("data", onData).resume();
    }
    return {
      [Symbol.dispose]: () => {
        process.off("SIGINT", onSignal);
        if (!this.isInteractive) return;
        this.#in.off("data", onData).pause();
        this.#in.setRawMode(false);
      },
    };
  }

  /** While listening: asks, and waits for a key. Anything but y is a no, and so is the end of the signal. */
  confirm(question: string, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const finish = (yes: boolean): void => {
        this.#onAnswer = undefined;
        signal.removeEventListener("abort", onAbort);
        this.#out.write(`${yes ? "yes" : "no"}\n`);
        resolve(yes);
      };
      const onAbort = (): void => finish(false);
      this.#out.write(`${question} [y/N] `);
      this.#onAnswer = finish;
      if (signal.aborted) finish(false);
      else signal.addEventListener("abort", onAbort);
    });
  }

  [Symbol.dispose](): void {
    this.#open?.close();
    void this.#pipe?.return?.();
  }
}
