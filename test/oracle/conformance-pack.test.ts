import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import {
  differences,
  GOLDEN,
  MANIFEST,
  type Manifest,
  makeManifest,
} from "../../scripts/conformance/manifest.ts";
import { packArchive } from "../../scripts/conformance/pack.ts";

const stated = async (): Promise<Manifest> => JSON.parse(await readFile(join(GOLDEN, MANIFEST), "utf8"));
const entries = (manifest: Manifest) =>
  Object.values(manifest.sets).flatMap(({ files }) => Object.entries(files));

test("the manifest lists every file of golden/ as it is; after a change run scripts/conformance/manifest.ts", async () => {
  expect(differences(await stated(), await makeManifest())).toEqual([]);
});

test("the pack has what it promises, within 30 MB", async () => {
  const manifest = await stated();
  expect(Object.keys(manifest.sets)).toEqual(
    expect.arrayContaining(["model", "ops", "width20b", "small", "tokenizer", "harmony", "browser", "patch"]),
  );
  expect(manifest.version).toMatch(/^\d+\.\d+\.\d+$/);
  const bytes = entries(manifest).reduce((sum, [, entry]) => sum + entry.bytes, 0);
  expect(bytes).toBeLessThan(30e6);
  const files = Object.fromEntries(entries(manifest));
  expect(files["model/f64.safetensors"]?.tensors?.["logits"]).toBe("F32 [300, 200]");
  expect(files["harmony/conversations.jsonl"]?.lines).toBe(453);
});

test("a missing, an added and a changed file are told", async () => {
  const manifest = await stated();
  const { "model/ids.json": ids, ...others } = manifest.sets["model"]!.files;
  const altered: Manifest = {
    ...manifest,
    sets: {
      ...manifest.sets,
      model: { files: { ...others, "model/extra.json": ids!, "model/f64.safetensors": ids! } },
    },
  };
  expect(differences(manifest, altered)).toEqual([
    "model/extra.json: there, but not listed",
    "model/f64.safetensors: other bytes than listed",
    "model/ids.json: listed, but not there",
  ]);
});

test("the archive's bytes follow from the files' contents alone, in the form of tar", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pack-"));
  try {
    await mkdir(join(folder, "golden/ops"), { recursive: true });
    await mkdir(join(folder, "docs"));
    await mkdir(join(folder, "scripts/conformance"), { recursive: true });
    const scripts = ["capture_openai.py", "capture_transformers.py", "example_transformers.py"];
    const added = ["docs/conformance.md", "LICENSE", ...scripts.map((name) => `scripts/conformance/${name}`)];
    for (const path of ["golden/b.txt", "golden/ops/a.txt", ...added])
      await writeFile(join(folder, path), `contents of ${path}`);
    const first = await packArchive(join(folder, "golden"));
    await utimes(join(folder, "golden/b.txt"), 1, 1);
    expect(await packArchive(join(folder, "golden"))).toEqual(first);

    const tar = gunzipSync(first);
    const names: string[] = [];
    for (let at = 0; tar[at] !== 0; ) {
      const header = tar.subarray(at, at + 512);
      const checksum = header.reduce((sum, byte, i) => sum + (i >= 148 && i < 156 ? 0x20 : byte), 0);
      expect(Number.parseInt(header.toString("latin1", 148, 154), 8)).toBe(checksum);
      names.push(
        header
          .toString("latin1", 0, 100)
          .replace(/\0+$/, "")
          .replace(/^[^/]+\//, ""),
      );
      const size = Number.parseInt(header.toString("latin1", 124, 135), 8);
      if (names.at(-1) === "ops/a.txt")
        expect(tar.toString("utf8", at + 512, at + 512 + size)).toBe("contents of golden/ops/a.txt");
      at += 512 + size + (-size & 511);
    }
    expect(names).toEqual([
      "LICENSE",
      "README.md",
      "b.txt",
      "ops/a.txt",
      ...scripts.map((name) => `scripts/${name}`),
    ]);
    expect(tar.length % 512).toBe(0);
  } finally {
    await rm(folder, { recursive: true });
  }
});
