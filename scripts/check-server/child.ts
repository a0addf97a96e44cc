import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Client } from "./client.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const PROBE = new URL("./probe.js", import.meta.url).href;

/** `gpt-oss serve` in a process of its own, on a free port of the loopback. */
export class Served implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly client: Client;
  /** The exit status, or the name of the signal that ended it. */
  readonly exit: Promise<number | string>;

  private constructor(child: ChildProcess, client: Client) {
    this.#child = child;
    this.client = client;
    this.exit = once(child, "exit").then(([code, signal]) => code ?? signal);
  }

  static async start(args: readonly string[]): Promise<Served> {
    const command = ["--expose-gc", "--import", PROBE, MAIN, "serve", "--port", "0", "--quiet", ...args];
    const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit", "ipc"] });
    process.once("exit", () => child.kill("SIGKILL"));
    let printed = "";
    for await (const chunk of child.stdout!) {
      printed += chunk;
      const match = /^(\S+) at (http:\S+)\/v1/.exec(printed);
      if (match) return new Served(child, new Client(match[2]!, match[1]!));
    }
    throw new Error("the server didn't start");
  }

  /** Bytes that it holds after a full collection. */
  async memory(): Promise<NodeJS.MemoryUsage> {
    this.#child.send("memory");
    const [usage] = await once(this.#child, "message");
    return usage as NodeJS.MemoryUsage;
  }

  /** Writes a heap snapshot; returns its file. */
  async snapshot(file: string): Promise<string> {
    this.#child.send({ snapshot: file });
    await once(this.#child, "message");
    return file;
  }

  /** Processor time so far, and the most that was ever resident, in bytes. */
  async usage(): Promise<{ cpuSeconds: number; peakBytes: number }> {
    this.#child.send("usage");
    const [{ userCPUTime, systemCPUTime, maxRSS }] = await once(this.#child, "message");
    return { cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakBytes: maxRSS * 1024 };
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.exit;
    this.client.close();
  }
}
