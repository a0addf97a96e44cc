import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { UsageError } from "../../errors.ts";

/** Files that this process has locked: its own id in a lock file says that, or is left of an earlier process of the same id. */
const locked = new Set<string>();

/**
 * Keeps a file for this process, by a file beside it that names the process. The lock of a process that is gone is taken over.
 *
 * @returns gives it back
 * @throws UsageError if a process that lives has it
 */
export function lockFile(file: string): () => void {
  const lock = `${file}.pid`;
  const claim = (): boolean => {
    try {
      writeFileSync(lock, String(process.pid), { flag: "wx", flush: true });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    }
  };
  if (!locked.has(lock) && !claim()) {
    const owner = Number(readFileSync(lock, "utf8"));
    if (owner !== process.pid && isAlive(owner)) throw inUse(file, lock, owner);
    rmSync(lock, { force: true });
    if (!claim()) throw inUse(file, lock, Number(readFileSync(lock, "utf8")));
  } else if (locked.has(lock)) throw inUse(file, lock, process.pid);
  locked.add(lock);
  return () => {
    locked.delete(lock);
    rmSync(lock, { force: true });
  };
}

function isAlive(pid: number): boolean {
  if (!(Number.isSafeInteger(pid) && pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function inUse(file: string, lock: string, pid: number): UsageError {
  return new UsageError("the store is in use", {
    where: file,
    found: `process ${pid}`,
    hint: `Give each server a store of its own; if that process is no server, delete ${lock}.`,
  });
}
