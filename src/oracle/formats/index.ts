import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { openNodeFile } from "../../checkpoint/file-node.ts";
import type { HostTensor } from "../../engine/ops.ts";
import { CheckpointError } from "../../errors.ts";
import { type Convention, mapNames, type NameMap, type ShapeHints } from "../names.ts";
import { readTrace, type TraceFile } from "../trace-file.ts";
import { looksLikeLlamaText, readLlamaText } from "./llama-text.ts";
import { readNpy } from "./npy.ts";
import { readNpz } from "./npz.ts";
import type { SampledTensor } from "./sampled.ts";

export type { SampledTensor } from "./sampled.ts";

/** A trace of any program, under our names and in our layout. */
export interface AnyTrace extends TraceFile {
  readonly format: "safetensors" | "npz" | "npy" | "llama.cpp text";
  /** Whose names the file has. */
  readonly convention: Convention;
  /** Their name of each of our points. */
  readonly names: ReadonlyMap<string, string>;
  /** Names that mean nothing here; --map can tell. */
  readonly unknown: readonly string[];
  /** Activations of which a few values and the sum are known. */
  readonly sampled: ReadonlyMap<string, SampledTensor>;
}

export interface ReadAnyOptions {
  /** Sizes that the file may not tell, for the split of q, k and v above all. */
  readonly hints?: ShapeHints;
  readonly nameMap?: NameMap;
}

/** What all tensors of a file may take in memory. */
const MAX_BYTES = 2 ** 36;

/**
 * Reads a trace: a safetensors file, an .npz archive, a folder of .npy files (which may lie in folders of their own, whose names
 * then come first), or the text of llama.cpp's eval-callback example.
 *
 * @throws CheckpointError if it is none of these, or damaged
 */
export async function readAnyTrace(path: string, { hints, nameMap }: ReadAnyOptions = {}): Promise<AnyTrace> {
  const found = await stat(path).catch((cause: Error) => {
    throw new CheckpointError("can't open the trace", { where: path, found: cause.message, cause });
  });
  if (found.isDirectory())
    return { ...named(await readFolder(path), hints, nameMap), format: "npy", metadata: new Map() };
  const start = await head(path);
  if (start.startsWith("PK")) {
    const file = await openNodeFile(path);
    try {
      return { ...named(await readNpz(file, MAX_BYTES), hints, nameMap), format: "npz", metadata: new Map() };
    } finally {
      await file.close();
    }
  }
  if (start.startsWith("\x93NUMPY"))
    throw new CheckpointError("one array is no trace", {
      where: path,
      hint: "Give an .npz archive, or the folder of .npy files.",
    });
  if (looksLikeLlamaText(start) || (/\.(txt|log)$/.test(path) && (await isLlamaText(path)))) {
    const { sampled, unknown } = await readLlamaText(path);
    const names = new Map([...sampled.keys()].map((point) => [point, point]));
    return {
      format: "llama.cpp text",
      convention: "llama.cpp",
      metadata: new Map(),
      trace: new Map(),
      sampled,
      unknown,
      names,
    };
  }
  const { trace, metadata } = await readTrace(path);
  return { ...named(trace, hints, nameMap), format: "safetensors", metadata };
}

type Named = Pick<AnyTrace, "trace" | "convention" | "names" | "unknown" | "sampled">;

function named(tensors: ReadonlyMap<string, HostTensor>, hints?: ShapeHints, nameMap?: NameMap): Named {
  return { ...mapNames(tensors, hints, nameMap), sampled: new Map() };
}

/** The first 64 KiB, a character a byte. */
async function head(path: string): Promise<string> {
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(65_536), 0, 65_536, 0);
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await file.close();
  }
}

/** A log begins with pages about the model and the machine. */
async function isLlamaText(path: string): Promise<boolean> {
  return (await readLlamaText(path).catch(() => undefined)) !== undefined;
}

const MAX_FILES = 2 ** 17;

async function readFolder(folder: string): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  let total = 0;
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".npy"));
  if (files.length === 0)
    throw new CheckpointError("no .npy files in the folder", { where: folder, hint: "A trace is a safetensors or .npz file, a folder of .npy files, or the text of llama.cpp's eval-callback." }); // biome-ignore format: one thought
  if (files.length > MAX_FILES) throw new CheckpointError("too many files", { where: folder, expected: `at most ${MAX_FILES}`, found: files.length }); // biome-ignore format: one thought
  for (const { parentPath, name } of files.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(parentPath, name);
    const file = await openNodeFile(path);
    try {
      total += file.size;
      if (total > MAX_BYTES)
        throw new CheckpointError("the arrays are too large", {
          where: path,
          expected: `at most ${MAX_BYTES} bytes`,
        });
      const inner = path
        .slice(join(folder, "/").length)
        .replaceAll(/[\\/]/g, ".")
        .replace(/\.npy$/, "");
      tensors.set(inner, await readNpy(file, path));
    } finally {
      await file.close();
    }
  }
  return tensors;
}
