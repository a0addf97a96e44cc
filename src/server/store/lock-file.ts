import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { UsageError } from "../../errors.ts";

/** Lock files of this process. One with its id that isn't among them was left by an earlier process of the same id. */
const locked = new Set<string>();

/** Tells processes of the same id apart, where the system says when they began: on Linux. Empty elsewhere. */
function beginningOf(pid: number): string {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return `${boot} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]}`; // the 22nd field, starttime: see proc(5)
  } catch {
    return "";
  }
}

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
      writeFileSync(lock, `${process.pid} ${beginningOf(process.pid)}`, { flag: "wx", flush: true });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    }
  };
  if (!locked.has(lock) && !claim()) {
    const owner = readOwner(lock);
    if (owner.pid !== process.pid && isAlive(owner)) throw inUse(file, lock, owner.pid);
    rmSync(lock, { force: true });
    if (!claim()) throw inUse(file, lock, readOwner(lock).pid);
  } else if (locked.has(lock)) throw inUse(file, lock, process.pid);
  locked.add(lock);
  return () => {
    locked.delete(lock);
    rmSync(lock, { force: true });
  };
}

interface Owner {
  readonly pid: number;
  readonly beginning: string;
}

function readOwner(lock: string): Owner {
  const [pid, ...beginning] = readFileSync(lock, "utf8").split(" ");
  return { pid: Number(pid), beginning: beginning.join(" ") };
}

function isAlive({ pid, beginning }: Owner): boolean {
  if (!(Number.isSafeInteger(pid) && pid > 0)) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const now = beginningOf(pid);
  return beginning === "" || now === "" || now === beginning;
}

function inUse(file: string, lock: string, pid: number): UsageError {
  return new UsageError("the store is in use", {
    where: file,
    found: `process ${pid}`,
    hint: `Give each server a store of its own; if that process is no server, delete ${lock}.`,
  });
}
