import { open, rename, rm, statfs } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { UsageError } from "../../errors.ts";
import type { SinkFile } from "../synth/sink.ts";
import { fileAt } from "../synth/sink-node.ts";

/**
 * Writes a file that appears, or replaces another, only when it is whole and on the disk.
 *
 * @param bytes that it is going to have
 * @param onOpen called with what removes the unfinished file, for handlers of signals
 */
export async function writeWhole(
  path: string,
  bytes: number,
  write: (file: SinkFile) => Promise<void>,
  onOpen?: (abandon: () => Promise<void>) => void,
): Promise<void> {
  const target = resolve(path);
  const temporary = join(dirname(target), `.${basename(target)}.incomplete-${process.pid}`);
  const fail = (cause: Error): never => {
    throw new UsageError("can't write there", { where: path, found: cause.message, cause });
  };
  const { bavail, bsize } = await statfs(dirname(target)).catch(fail);
  if (bavail * bsize < bytes) {
    throw new UsageError("not enough room on the disk", {
      ...{ where: path, expected: `${bytes} bytes`, found: bavail * bsize },
    });
  }
  const handle = await open(temporary, "wx").catch(fail);
  const abandon = (): Promise<void> => rm(temporary, { force: true });
  onOpen?.(abandon);
  try {
    await write({ ...fileAt(handle), close: async () => {} });
    await handle.sync();
    await handle.close();
    await rename(temporary, target).catch(fail);
  } catch (error) {
    await handle.close().catch(() => {});
    await abandon();
    throw error;
  }
}
