import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { indexPackages, type PackageIndex } from "./packages.ts";

/** Reads what a folder holds: wheels, and possibly the pyodide-lock.json that they belong to. */
export async function openPackages(folder: string): Promise<PackageFolder> {
  const names = await readdir(folder);
  const lock = names.includes("pyodide-lock.json")
    ? await readFile(join(folder, "pyodide-lock.json"), "utf8")
    : undefined;
  return { index: () => indexPackages(names, lock), read: (name) => readFile(join(folder, name)) };
}

export interface PackageFolder {
  /** A new one for each interpreter, since it keeps track of what is installed. */
  index(): PackageIndex;
  read(fileName: string): Promise<Uint8Array>;
}
