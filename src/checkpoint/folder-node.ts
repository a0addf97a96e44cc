import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CheckpointError } from "../errors.ts";
import { openNodeFile } from "./file-node.ts";
import type { Folder } from "./folder.ts";

/** The folder at `path`; if that is a .gguf file, the folder that it lies in, and its name. */
export async function openPath(path: string): Promise<{ folder: Folder; file?: string }> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    (cause) => {
      throw new CheckpointError("can't open the checkpoint", {
        where: path,
        found: (cause as Error).message,
        cause,
      });
    },
  );
  if (isFolder) return { folder: await nodeFolder(path) };
  if (path.endsWith(".gguf")) return { folder: await nodeFolder(dirname(path)), file: basename(path) };
  throw new CheckpointError("not a checkpoint", {
    where: path,
    expected: "a folder, or a .gguf file",
    ...(/\.(safetensors|json)$/.test(path) ? { hint: "Give the folder that the file lies in." } : {}),
  });
}

async function nodeFolder(location: string): Promise<Folder> {
  const entries = await readdir(location, { withFileTypes: true });
  return {
    location,
    names: entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => entry.name)
      .sort(),
    open: (name) => openNodeFile(join(location, name)),
    async subfolder(name) {
      const found = entries.some((entry) => entry.name === name && !entry.isFile());
      return found ? nodeFolder(join(location, name)) : undefined;
    },
    ...(basename(resolve(location)) === "original" && {
      around: () => nodeFolder(dirname(resolve(location))),
    }),
  };
}
