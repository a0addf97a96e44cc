import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError, Option } from "commander";
import { UsageError } from "../errors.ts";
import type { LoadOptions } from "../generation/model.ts";
import { DIALECTS, type DialectName } from "../numerics/dialects.ts";
import { loadProgress } from "./progress.ts";

/** The trained checkpoint that the package brings along. */
export const SMALL_CHECKPOINT: string = fileURLToPath(new URL("../../golden/small", import.meta.url));

/** Path of a model that the user named, or of the small checkpoint. */
export function modelPath(model: string | undefined): string {
  if (model === undefined) return SMALL_CHECKPOINT;
  if (existsSync(model)) return model;
  const looksLikeHubName = /^[\w.-]+\/[\w.-]+$/.test(model) && !model.startsWith(".");
  throw new UsageError("no such model", {
    where: model,
    hint: looksLikeHubName
      ? "Hub names can't be downloaded yet: give the folder or .gguf file of a downloaded checkpoint."
      : "MODEL is a folder with config.json and .safetensors files, or a .gguf file.",
  });
}

function dialectOption(fallback?: string): Option {
  const about = `rounding points to follow${fallback ? ` (default: ${fallback})` : ""}`;
  const option = new Option("--dialect <name>", about).choices(Object.keys(DIALECTS));
  return fallback ? option : option.default("int16");
}

export function modelOption(): Option {
  return new Option("--model <path>", "checkpoint folder or .gguf file (default: the small checkpoint)");
}

function threadsOption(): Option {
  return new Option("--threads <n>", "threads of int16 and int8 (default: one a processor)").argParser(
    integer(1),
  );
}

/** What says how a model is computed: the options of the commands that run one. */
export interface EngineFlags {
  dialect: DialectName;
  engine?: "simd" | "reference";
  threads?: number;
  kvCache?: "f32" | "bf16";
  memory?: number;
  dense?: "q8_0";
}

/** @param defaults what the command takes for a dialect that isn't given, in words; int16 where it says nothing */
export function engineFlags(command: Command, defaults: { dialect?: string } = {}): Command {
  return command
    .addOption(dialectOption(defaults.dialect))
    .addOption(
      new Option("--engine <name>", "what computes int16 and int8 (default: simd)").choices([
        "simd",
        "reference",
      ]),
    )
    .addOption(threadsOption())
    .addOption(
      new Option(
        "--memory <size>",
        "stay within so much memory, as 12GiB, and read experts again when needed",
      ).argParser(byteSize),
    )
    .addOption(new Option("--dense <type>", "quantise bf16 matrices as they are read").choices(["q8_0"]))
    .addOption(
      new Option("--kv-cache <type>", "how keys and values are kept (default: f32)").choices(["f32", "bf16"]),
    );
}

const UNITS: Readonly<Record<string, number>> = { "": 0, K: 1, M: 2, G: 3, T: 4 };

/** Parses a number of bytes: 12GiB or 12G, 800MB (powers of 1000), 8589934592. */
export function byteSize(text: string): number {
  const [, number, unit = "", binary, b] = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)(B?)$/i.exec(text.trim()) ?? [];
  const bytes = Number(number) * (b && !binary ? 1000 : 1024) ** UNITS[unit.toUpperCase()]!;
  if (!(bytes >= 1)) throw new InvalidArgumentError("Expected a size such as 12GiB or 800MB.");
  return Math.floor(bytes);
}

/** Only what the user gave: the rest is the library's to decide. */
export function loadOptions({ dialect, engine, threads, kvCache, memory, dense }: EngineFlags): LoadOptions {
  return {
    dialect,
    ...(engine !== undefined && { engine }),
    ...(threads !== undefined && { threads }),
    ...(kvCache !== undefined && { kvCache }),
    ...(memory !== undefined && { memory }),
    ...(dense !== undefined && { dense }),
    onProgress: loadProgress(),
  };
}

export function effortOption(): Option {
  return new Option("--effort <level>", "reasoning effort")
    .choices(["low", "medium", "high"])
    .default("medium");
}

/** Parses an option that is an integer of at least `min`. */
export function integer(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < min) {
      throw new InvalidArgumentError(`Expected an integer of ${min} or more.`);
    }
    return value;
  };
}

/** Parses an option that is a number from `min` to `max`. */
export function number(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= min && value <= max)) {
      throw new InvalidArgumentError(`Expected a number from ${min} to ${max}.`);
    }
    return value;
  };
}

/** Text of a file that the user named; `what` it should hold is for the error. */
export async function readText(path: string, what: string): Promise<string> {
  const text = await readFile(path, "utf8").catch((cause: Error) => {
    throw new UsageError(`can't read ${what}`, { where: path, found: cause.message, cause });
  });
  return text.replace(/^\ufeff/, ""); // a byte order mark
}

/** Parses an option that is a day, such as 2026-11-24. */
export function calendarDate(text: string): string {
  const day = new Date(`${text}T00:00:00Z`);
  const isDay = !Number.isNaN(day.getTime()) && day.toISOString().slice(0, 10) === text;
  if (!isDay) throw new InvalidArgumentError("Expected a date such as 2026-11-24.");
  return text;
}

/** Token ids from a JSON file: an array, or an object with an array `ids`. */
export async function readIds(path: string): Promise<number[]> {
  const text = await readText(path, "the token ids");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new UsageError("not a JSON file", { where: path, found: (cause as Error).message, cause });
  }
  const ids = Array.isArray(json) ? json : (json as { ids?: unknown } | null)?.ids;
  if (!Array.isArray(ids) || ids.length === 0) {
    throw new UsageError("no token ids", { where: path, expected: 'an array of integers, or {"ids": […]}' });
  }
  const bad = ids.findIndex((id) => !Number.isSafeInteger(id) || id < 0);
  if (bad >= 0) {
    throw new UsageError("not a token id", {
      where: `${path}, index ${bad}`,
      expected: "an integer of 0 or more",
      found: JSON.stringify(ids[bad]),
    });
  }
  return ids as number[];
}
