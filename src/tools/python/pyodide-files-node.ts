import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { type PyodideFiles, readPyodide } from "./pyodide-files.ts";

/** @param folder where Pyodide's files lie; the npm package's, if left out */
export async function readPyodideFolder(folder?: string): Promise<PyodideFiles> {
  const from = folder ?? dirname(createRequire(import.meta.url).resolve("pyodide/package.json"));
  return await readPyodide((name) => readFile(join(from, name)));
}
