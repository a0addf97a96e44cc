import { type FileHandle, mkdir, open, readdir, rename, rm, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { UsageError } from "../../errors.ts";
import type { Sink, SinkFile } from "./sink.ts";

/** A new folder: its files gather under another name beside it, and it appears when it is complete. */
export class FolderSink implements Sink {
  readonly #path: string;
  readonly #temporary: string;

  private constructor(path: string) {
    this.#path = path;
    this.#temporary = join(dirname(path), `.${basename(path)}.incomplete-${process.pid}`);
  }

  /**
   * @param bytes how much is going to be written
   * @throws UsageError if there is something in the folder already, or too little room on the disk
   */
  static async create(path: string, bytes = 0): Promise<FolderSink> {
    const sink = new FolderSink(resolve(path));
    const existing = await readdir(sink.#path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw new UsageError("can't write there", { where: path, found: error.message, cause: error });
    });
    if (existing.length > 0) {
      const hint = "Give a folder that is empty or doesn't exist.";
      throw new UsageError("the folder is not empty", { where: path, found: existing[0]!, hint });
    }
    await mkdir(sink.#temporary, { recursive: true });
    const { bavail, bsize } = await statfs(sink.#temporary);
    if (bavail * bsize < bytes) {
      await sink.abandon();
      const room = { expected: `${bytes} bytes`, found: bavail * bsize };
      throw new UsageError("not enough room on the disk", {
        where: path,
        ...room,
        hint: "Fewer --layers take less.",
      });
    }
    return sink;
  }

  async create(name: string): Promise<SinkFile> {
    const handle = await open(join(this.#temporary, name), "wx");
    return fileAt(handle);
  }

  /** Makes the folder appear. */
  async finish(): Promise<void> {
    await rename(this.#temporary, this.#path); // takes the place of an empty folder, too
  }

  /** Removes what was written. */
  async abandon(): Promise<void> {
    await rm(this.#temporary, { recursive: true, force: true });
  }
}

/** Writes from the start on; what is skipped is a hole, where the file system has them. */
export function fileAt(handle: FileHandle): SinkFile {
  let position = 0;
  return {
    async write(bytes) {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position);
        done += bytesWritten;
        position += bytesWritten;
      }
    },
    async skip(bytes) {
      position += bytes;
      await handle.truncate(position);
    },
    close: () => handle.close(),
  };
}
