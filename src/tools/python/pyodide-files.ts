import { UsageError } from "../../errors.ts";

/** The version whose files the sandbox knows. */
export const PYODIDE_VERSION = "314.0.7";

export interface PyodideFiles {
  readonly asm: Uint8Array;
  readonly loader: Uint8Array;
  readonly wasm: Uint8Array;
  readonly stdlib: Uint8Array;
  readonly lock: Uint8Array;
}

const NAMES: { readonly [Name in keyof PyodideFiles]: string } = {
  asm: "pyodide.asm.mjs",
  loader: "pyodide.mjs",
  wasm: "pyodide.asm.wasm",
  stdlib: "python_stdlib.zip",
  lock: "pyodide-lock.json",
};

/** @param read a file of Pyodide's folder, by its name */
export async function readPyodide(read: (name: string) => Promise<Uint8Array>): Promise<PyodideFiles> {
  const read1 = async (name: keyof PyodideFiles): Promise<[string, Uint8Array]> => [
    name,
    await read(NAMES[name]),
  ];
  const files = Object.fromEntries(
    await Promise.all((Object.keys(NAMES) as (keyof PyodideFiles)[]).map(read1)),
  ) as unknown as PyodideFiles;
  if (!new TextDecoder().decode(files.loader).includes(`"${PYODIDE_VERSION}"`))
    throw new UsageError("another version of Pyodide", { expected: PYODIDE_VERSION, where: NAMES.loader });
  return files;
}
