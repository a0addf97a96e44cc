import { type FileHandle, open, stat } from "node:fs/promises";
import { basename } from "node:path";
import { CheckpointError } from "../errors.ts";
import { checkRange, endsEarly, type RandomAccessFile } from "./file.ts";

/** read(2) transfers less than 2 GiB a call. */
const MAX_READ = 2 ** 30;

/**
 * Opens a file on disk. This file, folder-node.ts and synth/sink-node.ts are all of `checkpoint/` that needs `node:`.
 *
 * @throws CheckpointError if it can't be opened, or is a pipe or the like, on which reading would wait
 */
export async function openNodeFile(path: string): Promise<RandomAccessFile> {
  const fail = (cause: unknown): never => {
    throw new CheckpointError("can't open the file", { where: path, found: (cause as Error).message, cause });
  };
  const found = await stat(path).catch(fail);
  if (!found.isFile()) throw new CheckpointError("not a regular file", { where: path });
  return new NodeFile(basename(path), found.size, await open(path, "r").catch(fail));
}

class NodeFile implements RandomAccessFile {
  readonly name: string;
  readonly size: number;
  readonly #handle: FileHandle;

  constructor(name: string, size: number, handle: FileHandle) {
    this.name = name;
    this.size = size;
    this.#handle = handle;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this, offset, length);
    const bytes = new Uint8Array(length);
    await this.readInto(offset, bytes);
    return bytes;
  }

  async readInto(offset: number, target: Uint8Array): Promise<void> {
    const { length } = target;
    checkRange(this, offset, length);
    for (let done = 0; done < length; ) {
      const wanted = Math.min(length - done, MAX_READ);
      const { bytesRead } = await this.#handle.read(target, done, wanted, offset + done);
      if (bytesRead === 0) endsEarly(this, offset + done);
      done += bytesRead;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
