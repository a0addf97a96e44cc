import type { Awaitable } from "../../engine/ops.ts";
import type { Message, Role } from "../../harmony/messages.ts";
import type { CheckResult } from "../checks.ts";

/** Logits of each token of a prompt, or a single row: those of its last token. */
export type LogitRows = readonly ArrayLike<number>[];

/** An activation as a runtime hands it out, row-major. */
export interface Activation {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Tokens that follow each other through a KV cache. */
export interface RuntimeSession {
  /** Adds tokens and returns their logits, all or the last one's. */
  feed(ids: readonly number[]): Awaitable<LogitRows>;
  /** Forgets all tokens but the first n. */
  truncate?(tokens: number): Awaitable<void>;
  close?(): Awaitable<void>;
}

/**
 * What a runtime can do; the suite checks what is there. `logits`, `trace`, `open` and `batch` run the checkpoint of golden/model,
 * the others use o200k_harmony.
 */
export interface Runtime {
  /** One pass over a prompt, from an empty cache. */
  logits?(ids: readonly number[]): Awaitable<LogitRows>;
  /** Activations by the names of trace points, as many as there are. */
  trace?(ids: readonly number[]): Awaitable<ReadonlyMap<string, Activation>>;
  open?(): Awaitable<RuntimeSession>;
  /** Several prompts in one pass. */
  batch?(prompts: readonly (readonly number[])[]): Awaitable<readonly LogitRows[]>;
  /** Plain text: `<|start|>` in it is text, not a token. */
  encode?(text: string): Awaitable<readonly number[]>;
  decode?(ids: readonly number[]): Awaitable<string>;
  /** A whole conversation, without the start of a next message. Built-in tools have `tools: null` and are known by name. */
  render?(messages: readonly Message[], options: { dropAnalysis: boolean }): Awaitable<readonly number[]>;
  /** What a model wrote, after the start of a message of this role; null where the ids begin with `<|start|>`. */
  parse?(ids: readonly number[], role: Role | null): Awaitable<readonly Message[]>;
}

/** Thrown by a runtime for what it doesn't offer after all: the check is left out, and the level goes on. */
export class NotOffered extends Error {
  override readonly name = "NotOffered";
}

/** What a runtime computes in; its own rounding decides what it may stray. */
export const PRECISIONS = ["float32", "int16", "float16", "int8", "bfloat16"] as const;
export type Precision = (typeof PRECISIONS)[number];

export type Level = 1 | 2 | 3 | 4 | 5;
export const LEVELS: Readonly<Record<Level, string>> = {
  1: "logits",
  2: "activations",
  3: "tokenizer",
  4: "Harmony",
  5: "cache, chunks, batches",
};

export interface CheckReport extends CheckResult {
  readonly name: string;
  readonly passed: boolean;
}

export interface LevelReport {
  readonly level: Level;
  readonly title: string;
  /** skipped: the runtime offers nothing of it. */
  readonly status: "passed" | "failed" | "skipped";
  readonly checks: readonly CheckReport[];
  /** The likely cause of a failure. */
  readonly hint?: string;
}

export interface ConformanceReport {
  /** Version of the pack that was checked against. */
  readonly pack: string;
  readonly precision: Precision;
  readonly levels: readonly LevelReport[];
  /** Whether at least one level passed, and none failed. */
  readonly passed: boolean;
}
