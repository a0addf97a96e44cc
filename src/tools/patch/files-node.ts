import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, link, lstat, mkdir, open, realpath, rename, rmdir, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { FileChange } from "./apply.ts";
import { PatchError } from "./error.ts";
import { partsOf } from "./path.ts";

/** Larger files aren't patched. */
const MAX_FILE_BYTES = 8 * 2 ** 20;

/** A file as it was read; it must be the same one when it is written. */
interface Seen {
  readonly text: string;
  readonly mode: number;
  readonly id: string;
}

/**
 * Files below a root, for patches. No symbolic link is followed, neither at a path's end nor on the way, and only regular
 * files are touched. Node.js has no `openat`: somebody who exchanges folders for links within the same microseconds,
 * another program then, not the patch, can still win.
 */
export class PatchFolder {
  readonly #root: string;
  readonly #seen = new Map<string, Seen>();

  private constructor(root: string) {
    this.#root = root;
  }

  static async open(root: string): Promise<PatchFolder> {
    return new PatchFolder(await realpath(root));
  }

  /** A file's text; undefined where there is none. */
  async read(path: string): Promise<string | undefined> {
    const full = await this.#locate(path);
    let file: FileHandle;
    try {
      if ((await lstat(full)).isFile() === false) throw new PatchError(`Not a regular file: ${path}`);
      file = await open(full, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
    } catch (error) {
      if (["ENOENT", "ENOTDIR"].includes((error as { code?: string }).code ?? "")) return undefined;
      throw error;
    }
    try {
      const stat = await file.stat({ bigint: true });
      if (!stat.isFile()) throw new PatchError(`Not a regular file: ${path}`);
      if (stat.size > MAX_FILE_BYTES) throw new PatchError(`File too large: ${path}`);
      const bytes = await file.readFile();
      let text: string;
      try {
        text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
      } catch {
        throw new PatchError(`Not a text file in UTF-8: ${path}`);
      }
      this.#seen.set(path, { text, mode: Number(stat.mode) & 0o777, id: identity(stat) });
      return text;
    } finally {
      await file.close();
    }
  }

  /** Makes all changes or, if one fails, none. */
  async write(changes: readonly FileChange[]): Promise<void> {
    const undo: (() => Promise<unknown>)[] = [];
    const leftovers: string[] = [];
    try {
      const staged: { change: FileChange; target: string; temporary: string }[] = [];
      for (const change of changes) {
        if (change.type === "delete") continue;
        const path = change.type === "update" ? (change.moveTo ?? change.path) : change.path;
        const target = await this.#locate(path);
        await this.#makeFolders(partsOf(path).slice(0, -1), undo);
        const temporary = join(dirname(target), `.patch-${randomBytes(9).toString("hex")}`);
        leftovers.push(temporary);
        const mode = change.type === "update" ? this.#seen.get(change.path)!.mode : undefined;
        const file = await open(temporary, "wx", mode ?? 0o666);
        try {
          await this.#checkFolder(dirname(target));
          await file.writeFile(change.content, "utf8");
          if (mode !== undefined) await file.chmod(mode);
        } finally {
          await file.close();
        }
        staged.push({ change, target, temporary });
      }
      // what goes is put aside first, so that one operation may take the name of another's file
      const aside: string[] = [];
      for (const change of changes) {
        if (change.type === "add") continue;
        const full = await this.#locate(change.path);
        const stat = await lstat(full, { bigint: true });
        if (identity(stat) !== this.#seen.get(change.path)?.id)
          throw new PatchError(`Changed by somebody else meanwhile: ${change.path}`);
        const kept = join(dirname(full), `.patch-${randomBytes(9).toString("hex")}`);
        await rename(full, kept);
        undo.push(() => rename(kept, full));
        aside.push(kept);
      }
      for (const { target, temporary } of staged) {
        // unlike a rename, a link never replaces what somebody else has just made
        await link(temporary, target).catch(async (error: { code?: string }) => {
          if (error.code === "EEXIST") throw error;
          await rename(temporary, target);
        });
        undo.push(() => unlink(target));
      }
      leftovers.push(...aside);
    } catch (error) {
      for (const path of leftovers.splice(0)) await unlink(path).catch(() => {});
      for (const step of undo.reverse()) await step().catch(() => {});
      throw error;
    } finally {
      for (const path of leftovers) await unlink(path).catch(() => {});
    }
  }

  /** The full path; every folder on the way that exists is a folder. */
  async #locate(path: string): Promise<string> {
    const parts = partsOf(path);
    let at = this.#root;
    for (const part of parts.slice(0, -1)) {
      at = join(at, part);
      const stat = await lstat(at).catch((error: { code?: string }) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      });
      if (stat === undefined) break;
      if (!stat.isDirectory()) throw new PatchError(`Not a folder on the way: ${path}`);
    }
    return join(this.#root, ...parts);
  }

  async #makeFolders(parts: readonly string[], undo: (() => Promise<unknown>)[]): Promise<void> {
    let at = this.#root;
    for (const part of parts) {
      at = join(at, part);
      try {
        const folder = at;
        await mkdir(folder);
        undo.push(() => rmdir(folder));
      } catch (error) {
        if ((error as { code?: string }).code !== "EEXIST") throw error;
        if (!(await lstat(at)).isDirectory()) throw new PatchError(`Not a folder: ${part}`);
      }
    }
  }

  /** A folder that has become a link since it was looked at is noticed before anything is written into it. */
  async #checkFolder(folder: string): Promise<void> {
    if ((await realpath(folder)) !== folder) throw new PatchError("A folder has changed meanwhile");
  }
}

function identity(stat: { dev: bigint; ino: bigint; size: bigint; mtimeNs: bigint }): string {
  return `${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs}`;
}
