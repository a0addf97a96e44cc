import type { FromSandbox, ToSandbox } from "./messages.ts";

/** A process or worker in which one interpreter lives. */
export interface Sandbox {
  send(message: ToSandbox, bytes?: Uint8Array): void;
  /** Ends it, whatever it is doing. */
  kill(): void;
  /** Bytes that it holds in memory; undefined where the platform doesn't say. */
  residentBytes?(): Promise<number | undefined>;
}

export interface SandboxEvents {
  message(message: FromSandbox): void;
  /** Ended by itself, or killed by the system. */
  exit(reason: string): void;
}

export interface SandboxLimits {
  readonly memoryBytes: number;
  readonly fileBytes: number;
}

/** JavaScript's own heap in the sandbox: Pyodide's glue needs some 20 MB. */
export const SCRIPT_HEAP_BYTES: number = 256 * 2 ** 20;

/** No honest answer is longer: images are limited to 8 MiB inside, output by an option. */
export const MAX_LINE_BYTES: number = 64 * 2 ** 20;
