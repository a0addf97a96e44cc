import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** check-pytorch.py, or another script that answers jobs, one at a time. */
export class PyTorch {
  readonly #process: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  constructor(python: string, file = "check-pytorch.py") {
    const script = fileURLToPath(new URL(file, import.meta.url));
    this.#process = spawn(python, [script], { stdio: ["pipe", "pipe", "inherit"] });
    this.#process.on("error", (error) => console.error(error.message));
    this.#process.stdin!.on("error", () => {}); // the missing answer says it
    this.#answers = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  async run<T>(job: { do: string; [argument: string]: unknown }): Promise<T> {
    this.#process.stdin!.write(`${JSON.stringify(job)}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error("Python has ended: does --python name one that has the packages?");
    const { answer, error } = JSON.parse(value) as { answer: T; error?: string };
    if (error !== undefined) throw new Error(`PyTorch, ${job.do}: ${error}`);
    return answer;
  }

  close(): void {
    this.#process.stdin!.end();
  }
}
