import { configFromGguf, configFromHuggingFace, configFromOriginal, type ModelConfig } from "../config.ts";
import { CheckpointError } from "../errors.ts";
import type { RandomAccessFile } from "./file.ts";
import type { Folder } from "./folder.ts";
import { filesFolder } from "./folder.ts";
import { type GgufMetadata, readGgufFiles } from "./gguf-split.ts";
import { weightsFromGguf } from "./layout-gguf.ts";
import { weightsFromHuggingFace } from "./layout-hf.ts";
import { weightsFromOriginal } from "./layout-original.ts";
import { MAX_HEADER, readSafetensors } from "./safetensors.ts";
import { checkIndex, readIndex } from "./safetensors-index.ts";
import { mergeTensors, type StoredTensor, type TensorMap, TensorTable } from "./tensors.ts";
import type { Checkpoint, WeightSources } from "./weights.ts";

export { checkpointDigest } from "./digest.ts";

/** A {@link Checkpoint}, and what its files hold, for those who look into it. */
export interface OpenCheckpoint extends Checkpoint {
  /** Every tensor as stored, in the order of the files. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** The files that hold the tensors. */
  readonly files: readonly RandomAccessFile[];
  /** Metadata of a GGUF file, its tokenizer among it. */
  readonly gguf?: GgufMetadata;
  /** A JSON file beside the weights, such as tokenizer.json; undefined if there is none. */
  readJson(name: string): Promise<unknown>;
  /** The same for a text file. */
  readText(name: string): Promise<string | undefined>;
}

/**
 * Opens a checkpoint: a folder in Hugging Face's layout or OpenAI's own (or one that has the latter in `original/`),
 * or a `.gguf` file, of a split model any one. Reads headers only; weights are read where they are used.
 *
 * @throws CheckpointError, ConfigError, in one line, on anything else
 */
export async function openCheckpoint(path: string): Promise<OpenCheckpoint> {
  const { openPath } = await import("./folder-node.ts");
  const { folder, file } = await openPath(path);
  return open(folder, file);
}

/** Opens a checkpoint from files at hand, such as those that the user of a web page picked. */
export async function openCheckpointFiles(files: readonly RandomAccessFile[]): Promise<OpenCheckpoint> {
  return open(filesFolder(files));
}

/** @param file the one file of the folder that was asked for */
async function open(folder: Folder, file?: string): Promise<OpenCheckpoint> {
  const opened = new OpenFiles(folder);
  try {
    if (file !== undefined) return await openGguf(opened, file);
    if (folder.names.includes("config.json") && folder.names.some(isSafetensors)) {
      return await openSafetensors(opened);
    }
    const original = await folder.subfolder("original");
    if (original?.names.includes("config.json") && original.names.some(isSafetensors)) {
      return await open(original);
    }
    const ggufs = folder.names.filter(
      (name) => name.endsWith(".gguf") && !/-(?!00001)\d{5}-of-\d{5}\.gguf$/.test(name),
    );
    if (ggufs.length === 1) return await openGguf(opened, ggufs[0]!);
    return nothingFits(folder, ggufs);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** The files of a folder that are open so far, to be closed together. */
class OpenFiles {
  readonly folder: Folder;
  readonly all: RandomAccessFile[] = [];

  constructor(folder: Folder) {
    this.folder = folder;
  }

  async open(name: string): Promise<RandomAccessFile> {
    const file = await this.folder.open(name);
    this.all.push(file);
    return file;
  }

  /** The whole of a small file, which needn't stay open. */
  async readAll(name: string, maxBytes: number): Promise<Uint8Array> {
    const file = await this.folder.open(name);
    try {
      if (file.size > maxBytes) {
        const where = `${this.folder.location}/${name}`;
        throw new CheckpointError("too long", {
          where,
          expected: `at most ${maxBytes} bytes`,
          found: file.size,
        });
      }
      return await file.read(0, file.size);
    } finally {
      await file.close();
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((file) => file.close()));
  }
}

async function openSafetensors(opened: OpenFiles): Promise<OpenCheckpoint> {
  const { folder } = opened;
  const json = await readJson(folder, "config.json");
  const tensors = await readShards(opened);
  const where = `${folder.location}/config.json`;
  const table = new TensorTable(tensors, folder.location);
  let format: "hf" | "original";
  let config: ModelConfig;
  let weights: WeightSources;
  if (tensors.has("embedding.weight")) {
    format = "original";
    config = configFromOriginal(json, where);
    weights = weightsFromOriginal(table, config);
  } else if (tensors.has("model.embed_tokens.weight")) {
    format = "hf";
    config = configFromHuggingFace(json, where);
    const tied = (json as { tie_word_embeddings?: unknown }).tie_word_embeddings === true;
    weights = weightsFromHuggingFace(table, config, tied);
  } else {
    throw new CheckpointError("these are not the tensors of a gpt-oss model", {
      where: folder.location,
      expected: "model.embed_tokens.weight (Hugging Face) or embedding.weight (original)",
      found: [...tensors.keys()].slice(0, 3).join(", "),
    });
  }
  return {
    format,
    location: folder.location,
    config,
    weights,
    tensors,
    files: opened.all,
    readJson: (name) => readCompanion(opened.folder, name, readJson),
    readText: (name) => readCompanion(opened.folder, name, readText),
    close: () => opened.close(),
  };
}

/** The tensors of all shards: those that the index names, or, without an index, all in the folder. */
async function readShards(opened: OpenFiles): Promise<TensorMap> {
  const { names } = opened.folder;
  const indexName = names.find((name) => name.endsWith(".safetensors.index.json"));
  const index =
    indexName === undefined ? undefined : readIndex(await opened.readAll(indexName, MAX_HEADER), indexName);
  const shardNames = index === undefined ? names.filter(isSafetensors) : [...new Set(index.values())];
  const shards = new Map<string, TensorMap>();
  for (const name of shardNames.sort()) {
    if (!names.includes(name)) {
      throw new CheckpointError("a file that the index names is missing", {
        where: `${opened.folder.location}/${indexName}`,
        expected: name,
        hint: "The download may be incomplete.",
      });
    }
    shards.set(name, (await readSafetensors(await opened.open(name))).tensors);
  }
  if (index !== undefined) checkIndex(index, shards, indexName!);
  return mergeTensors([...shards.values()]);
}

async function openGguf(opened: OpenFiles, name: string): Promise<OpenCheckpoint> {
  const { tensors, metadata } = await readGgufFiles(name, opened.folder.names, (each) => opened.open(each));
  const config = configFromGguf(metadata.values, name);
  const weights = weightsFromGguf(new TensorTable(tensors, name), config);
  return {
    format: "gguf",
    location: `${opened.folder.location}/${name}`,
    config,
    weights,
    tensors,
    files: opened.all,
    gguf: metadata,
    readJson: (name) => readCompanion(opened.folder, name, readJson),
    readText: (name) => readCompanion(opened.folder, name, readText),
    close: () => opened.close(),
  };
}

/** OpenAI's original/ lies within the folder that has the tokenizer. */
async function readCompanion<T>(
  folder: Folder,
  name: string,
  read: (folder: Folder, name: string) => Promise<T>,
): Promise<T | undefined> {
  if (folder.names.includes(name)) return read(folder, name);
  const around = await folder.around?.();
  return around?.names.includes(name) ? read(around, name) : undefined;
}

async function readJson(folder: Folder, name: string): Promise<unknown> {
  return parse(folder, name, "not a JSON file", JSON.parse);
}

async function readText(folder: Folder, name: string): Promise<string> {
  return parse(folder, name, "not a text file", (text) => text);
}

async function parse<T>(folder: Folder, name: string, what: string, read: (text: string) => T): Promise<T> {
  const file = await folder.open(name);
  const where = `${folder.location}/${name}`;
  try {
    if (file.size > MAX_TEXT) {
      throw new CheckpointError("too long", {
        where,
        expected: `at most ${MAX_TEXT} bytes`,
        found: file.size,
      });
    }
    return read(new TextDecoder("utf-8", { fatal: true }).decode(await file.read(0, file.size)));
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(what, { where, found: (cause as Error).message, cause });
  } finally {
    await file.close();
  }
}

/** A config.json has 2 KB, the tokenizer.json of gpt-oss 28 MB. */
const MAX_TEXT = 2 ** 26;

function isSafetensors(name: string): boolean {
  return name.endsWith(".safetensors") && !name.startsWith(".");
}

function nothingFits(folder: Folder, ggufs: readonly string[]): never {
  const { location, names } = folder;
  let hint = "";
  if (ggufs.length > 1) hint = `Name one of the files: ${ggufs.slice(0, 4).join(", ")}.`;
  else if (names.includes("adapter_config.json"))
    hint = "This is an adapter: merge it into its base model first.";
  else if (names.some((name) => name.endsWith(".bin") || name.endsWith(".pt"))) {
    hint = "Pickled weights are not read: save the model as safetensors.";
  } else if (names.some(isSafetensors)) hint = "There are weights, but no config.json beside them.";
  else if (names.includes("config.json")) hint = "There is a config.json, but no weights beside it.";
  throw new CheckpointError("no checkpoint here", {
    where: location,
    expected: "config.json with *.safetensors, original/ with the same, or one .gguf file",
    found: names.length === 0 ? "nothing" : names.slice(0, 8).join(", "),
    ...(hint === "" ? {} : { hint }),
  });
}
