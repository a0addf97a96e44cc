import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Message, Role } from "../../harmony/messages.ts";
import type { Trace } from "../trace.ts";
import { readTrace } from "../trace-file.ts";
import type { Precision } from "./runtime.ts";

/** The goldens that come with this package. */
export const GOLDEN: string = fileURLToPath(new URL("../../../golden", import.meta.url));

/** How far correct runs of one precision stray from float64, as golden/conformance/tolerances.json has it. */
export interface Stray {
  /** Relative rms of the logits over a whole prompt, and over single tokens the 95th percentile and the largest. */
  readonly prompt: number;
  readonly token_p95: number;
  readonly token_max: number;
  /** Share of (token, rank) pairs with another expert. */
  readonly pairs_differ: number;
  /** Relative rms of other points, by name within a layer. */
  readonly points: Readonly<Record<string, number>>;
}

export interface Tolerances {
  /** What may be strayed, as a multiple of what was. */
  readonly factor: number;
  readonly precisions: Readonly<Record<Precision, Stray>>;
}

/** Ids; of many, their number and the SHA-256 of them as little-endian uint32. */
export type StatedIds = readonly number[] | { readonly count: number; readonly sha256: string };

export interface Conversation {
  readonly name: string;
  readonly messages: readonly Message[];
  readonly ids: StatedIds;
  /** With no analysis dropped, where that differs. */
  readonly kept?: StatedIds;
}

export interface Stream {
  readonly name: string;
  readonly role: Role | null;
  readonly ids: readonly number[];
  readonly strict: { readonly messages?: readonly Message[] };
}

export interface Run {
  readonly prefix: string;
  readonly unit: string;
  readonly times: number;
  readonly suffix: string;
  readonly count: number;
  readonly sha256: string;
}

/** Reads a golden folder, each file when it is first asked for. */
export class Goldens {
  readonly folder: string;
  #truth: Promise<Trace> | undefined;

  constructor(folder: string = GOLDEN) {
    this.folder = folder;
  }

  async version(): Promise<string> {
    return (await this.#json<{ version: string }>("conformance/manifest.json")).version;
  }
  tolerances(): Promise<Tolerances> {
    return this.#json("conformance/tolerances.json");
  }
  async ids(): Promise<readonly number[]> {
    return (await this.#json<{ ids: number[] }>("model/ids.json")).ids;
  }
  async truth(): Promise<Trace> {
    this.#truth ??= readTrace(join(this.folder, "model/f64.safetensors")).then(({ trace }) => trace);
    return this.#truth;
  }
  texts(): Promise<{ text: string; ids: number[] }[]> {
    return this.#lines("tokenizer/cases.jsonl");
  }
  runs(): Promise<Run[]> {
    return this.#json("tokenizer/runs.json");
  }
  conversations(): Promise<Conversation[]> {
    return this.#lines("harmony/conversations.jsonl");
  }
  /** Those that are Harmony. */
  async streams(): Promise<Stream[]> {
    return (await this.#lines<Stream>("harmony/streams.jsonl")).filter(({ name }) => !name.startsWith("!"));
  }

  async #json<T>(path: string): Promise<T> {
    return JSON.parse(await readFile(join(this.folder, path), "utf8")) as T;
  }
  async #lines<T>(path: string): Promise<T[]> {
    const text = await readFile(join(this.folder, path), "utf8");
    return text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as T);
  }
}
