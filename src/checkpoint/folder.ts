import { CheckpointError } from "../errors.ts";
import type { RandomAccessFile } from "./file.ts";

/** Where the files of a checkpoint lie. */
export interface Folder {
  /** For messages. */
  readonly location: string;
  /** Names of the files in it, sorted. */
  readonly names: readonly string[];
  open(name: string): Promise<RandomAccessFile>;
  subfolder(name: string): Promise<Folder | undefined>;
  /** For a folder named original: the one that it lies in. */
  around?(): Promise<Folder>;
}

/** Files at hand, as a folder. */
export function filesFolder(files: readonly RandomAccessFile[]): Folder {
  const byName = new Map(files.map((file) => [file.name, file]));
  const location = "the given files";
  if (byName.size !== files.length)
    throw new CheckpointError("two files have the same name", { where: location });
  return {
    location,
    names: [...byName.keys()].sort(),
    async open(name) {
      const file = byName.get(name);
      if (file === undefined)
        throw new CheckpointError("a file is missing", { where: location, expected: name });
      return file;
    },
    async subfolder() {
      return undefined;
    },
  };
}
