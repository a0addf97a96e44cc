/**
 * Writes golden/conformance/manifest.json, which lists every file of golden/ with its bytes, digest, source and contents; or
 * checks it:
 *
 *     npx tsx scripts/conformance/manifest.ts [--check]
 */
import { createHash } from "node:crypto";
import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, parseArgs } from "node:util";
import { MemoryFile } from "../../src/checkpoint/file.ts";
import { readSafetensors } from "../../src/checkpoint/safetensors.ts";
import { PACK_VERSION, SETS } from "./sets.ts";

export const GOLDEN: string = fileURLToPath(new URL("../../golden", import.meta.url));
export const MANIFEST = "conformance/manifest.json";

/** One file of the pack. */
export interface FileEntry {
  readonly bytes: number;
  readonly sha256: string;
  /** safetensors only: dtype and shape of each tensor, such as "F32 [300, 200]". */
  readonly tensors?: Readonly<Record<string, string>>;
  /** JSON Lines only. */
  readonly lines?: number;
}

export interface Manifest {
  readonly pack: string;
  readonly version: string;
  readonly licence: string;
  readonly sets: Readonly<Record<string, { readonly files: Readonly<Record<string, FileEntry>> }>>;
}

/** The manifest of what lies in a golden folder now; a folder that sets.ts doesn't describe is an error. */
export async function makeManifest(golden: string = GOLDEN): Promise<Manifest> {
  const paths = (await listFiles(golden)).filter((path) => path !== MANIFEST);
  const stray = paths.find((path) => !(path.split("/")[0]! in SETS));
  if (stray !== undefined)
    throw new Error(`scripts/conformance/sets.ts describes no set for golden/${stray}`);
  const sets = Object.entries(SETS).map(async ([name, { sources, ...description }]) => {
    const files: Record<string, FileEntry> = {};
    for (const path of paths.filter((path) => path.startsWith(`${name}/`)))
      files[path] = await describe(golden, path);
    return [
      name,
      { ...description, sources: sources ?? (await statedSources(golden, name)), files },
    ] as const;
  });
  return {
    pack: "gpt-oss conformance",
    version: PACK_VERSION,
    licence: "Apache-2.0",
    sets: Object.fromEntries(await Promise.all(sets)),
  };
}

/** All files below a folder, sorted, with / between the parts of a path. */
export async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.parentPath.includes("__pycache__"))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join("/"))
    .sort();
}

async function describe(golden: string, path: string): Promise<FileEntry> {
  const bytes = await readFile(join(golden, path));
  const entry = { bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
  if (path.endsWith(".jsonl")) return { ...entry, lines: bytes.filter((byte) => byte === 0x0a).length };
  if (!path.endsWith(".safetensors")) return entry;
  const { tensors } = await readSafetensors(new MemoryFile(path, bytes));
  const stated = [...tensors.values()].map(({ name, dtype, shape }) => [
    name,
    `${dtype} [${shape.join(", ")}]`,
  ]);
  return { ...entry, tensors: Object.fromEntries(stated.sort()) };
}

/** Packages and versions as a set's own manifest has them. */
async function statedSources(golden: string, set: string): Promise<Record<string, string>> {
  const own = JSON.parse(await readFile(join(golden, set, "manifest.json"), "utf8"));
  return own.versions ?? own.sources ?? own.training.versions;
}

/** What differs between a manifest and the files, one line each; none if it is right. */
export function differences(stated: Manifest, found: Manifest): string[] {
  const files = ({ sets }: Manifest) =>
    new Map(Object.values(sets).flatMap(({ files }) => Object.entries(files)));
  const [a, b] = [files(stated), files(found)];
  const lines = [...new Set([...a.keys(), ...b.keys()])].sort().flatMap((path) => {
    if (!b.has(path)) return [`${path}: listed, but not there`];
    if (!a.has(path)) return [`${path}: there, but not listed`];
    return isDeepStrictEqual(a.get(path), b.get(path)) ? [] : [`${path}: other bytes than listed`];
  });
  return lines.length > 0 || isDeepStrictEqual(stated, found) ? lines : ["sets.ts: described otherwise"];
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { check: { type: "boolean" } } });
  const path = join(GOLDEN, MANIFEST);
  const manifest = await makeManifest();
  const count = Object.values(manifest.sets).reduce((n, { files }) => n + Object.keys(files).length, 0);
  if (values.check) {
    const wrong = differences(JSON.parse(await readFile(path, "utf8")), manifest);
    for (const line of wrong) console.error(line);
    console.log(`${count} files, ${wrong.length} wrong`);
    process.exitCode = wrong.length > 0 ? 1 : 0;
    return;
  }
  await writeFile(`${path}.part`, `${JSON.stringify(manifest, null, 1)}\n`);
  await rename(`${path}.part`, path);
  console.log(`${path}: ${count} files, version ${manifest.version}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
