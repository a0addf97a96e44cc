/** Wheels by the names under which Python imports them. */
export interface PackageIndex {
  /** Files that an import of these names needs, dependencies first; each is named once in an index's life. */
  filesFor(names: readonly string[]): string[];
}

interface LockFile {
  readonly packages?: { readonly [name: string]: LockedPackage };
}
interface LockedPackage {
  readonly file_name?: string;
  readonly imports?: readonly string[];
  readonly depends?: readonly string[];
}

/**
 * An index of a folder of wheels. With the pyodide-lock.json of a Pyodide release, what is imported is installed, and what
 * that depends on; without one, all wheels of the folder, once something is missing.
 */
export function indexPackages(fileNames: readonly string[], lockText: string | undefined): PackageIndex {
  const present = new Set(fileNames.filter((name) => name.endsWith(".whl") && !/[\\/]/.test(name)));
  const given = new Set<string>();
  const lock = lockText === undefined ? undefined : ((JSON.parse(lockText) as LockFile).packages ?? {});
  const byImport = new Map<string, string>();
  for (const [name, entry] of Object.entries(lock ?? {}))
    for (const imported of entry.imports ?? []) byImport.set(imported.split(".")[0]!, name);

  return {
    filesFor(names) {
      const files: string[] = [];
      const take = (file: string | undefined): void => {
        if (file === undefined || !present.has(file) || given.has(file)) return;
        given.add(file);
        files.push(file);
      };
      if (lock === undefined) {
        if (names.length > 0) for (const file of [...present].sort()) take(file);
        return files;
      }
      const seen = new Set<string>();
      const walk = (name: string): void => {
        if (seen.has(name) || !Object.hasOwn(lock, name)) return;
        seen.add(name);
        for (const other of lock[name]!.depends ?? []) walk(other);
        take(lock[name]!.file_name);
      };
      for (const name of names) walk(byImport.get(name) ?? name);
      return files;
    },
  };
}
