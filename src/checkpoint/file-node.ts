import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import { checkRange, endsEarly, type RandomAccessFile } from "./file.ts";

/** read(2) transfers less than 2 GiB a call. */
const MAX_READ = 2 ** 30;

/** Opens a file on disk. The only place, with file-system.ts, where the readers touch `node:`. */
export async function openNodeFile(path: string): Promise<RandomAccessFile> {
  const handle = await open(path, "r");
  try {
    return new NodeFile(basename(path), (await handle.stat()).size, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
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
    for (let done = 0; done < length; ) {
      const wanted = Math.min(length - done, MAX_READ);
      const { bytesRead } = await this.#handle.read(bytes, done, wanted, offset + done);
      if (bytesRead === 0) endsEarly(this, offset + done);
      done += bytesRead;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
