/**
 * Packs golden/, the guide, the licence and the capture scripts into one archive; the same contents give the same bytes, on
 * every machine:
 *
 *     npx tsx scripts/conformance/pack.ts --out gpt-oss-conformance.tar.gz
 */
import { createHash } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "fflate";
import { differences, GOLDEN, listFiles, MANIFEST, makeManifest } from "./manifest.ts";
import { PACK_VERSION } from "./sets.ts";

/** Files from elsewhere in the repository, by their names in the archive. */
const ADDED: Readonly<Record<string, string>> = {
  "README.md": "../docs/conformance.md",
  LICENSE: "../LICENSE",
  "scripts/capture_openai.py": "../scripts/conformance/capture_openai.py",
  "scripts/capture_transformers.py": "../scripts/conformance/capture_transformers.py",
  "scripts/example_transformers.py": "../scripts/conformance/example_transformers.py",
};

/** The archive's bytes. Compressed by fflate: what Node's own zlib writes depends on its version and the processor. */
export async function packArchive(golden: string = GOLDEN): Promise<Uint8Array> {
  const root = `gpt-oss-conformance-${PACK_VERSION}`;
  const files = new Map((await listFiles(golden)).map((path) => [path, join(golden, path)]));
  for (const [name, path] of Object.entries(ADDED)) files.set(name, join(golden, path));
  const parts: Uint8Array[] = [];
  for (const [name, path] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const bytes = name === "README.md" ? guide(await readFile(path, "utf8")) : await readFile(path);
    parts.push(tarHeader(`${root}/${name}`, bytes.length), bytes, new Uint8Array(-bytes.length & 511));
  }
  return gzipSync(Buffer.concat([...parts, new Uint8Array(1024)]), { level: 9, mtime: 0 });
}

/** The guide, with links to what the archive has. */
function guide(text: string): Buffer {
  return Buffer.from(
    text.replaceAll("](../golden/", "](").replaceAll("](../scripts/conformance/", "](scripts/"),
  );
}

/** 512 bytes of ustar (POSIX 1003.1-1988) for a plain file of mode 644, of no user and no time. */
function tarHeader(name: string, bytes: number): Uint8Array {
  if (Buffer.byteLength(name) > 100) throw new Error(`too long a path for a tar header: ${name}`);
  const header = Buffer.alloc(512);
  const octal = (value: number, offset: number, digits: number): void => {
    header.write(value.toString(8).padStart(digits, "0"), offset);
  };
  header.write(name, 0);
  octal(0o644, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(bytes, 124, 11);
  octal(0, 136, 11);
  header.write("        0", 148); // the checksum counts as spaces; type 0: a file
  header.write("ustar\u000000", 257);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  header[154] = 0;
  return header;
}

async function main(): Promise<void> {
  const { out } = parseArgs({ options: { out: { type: "string" } } }).values;
  if (out === undefined) throw new Error("give --out FILE.tar.gz");
  const stated = JSON.parse(await readFile(join(GOLDEN, MANIFEST), "utf8"));
  const wrong = differences(stated, await makeManifest());
  if (wrong.length > 0)
    throw new Error(`the manifest is out of date: ${wrong[0]}; run scripts/conformance/manifest.ts`);
  const archive = await packArchive();
  await writeFile(`${out}.part`, archive);
  await rename(`${out}.part`, out);
  console.log(`${createHash("sha256").update(archive).digest("hex")}  ${out}, ${archive.length} bytes`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
