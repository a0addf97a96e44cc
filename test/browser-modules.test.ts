import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";

/** Modules and packages that load along with one: what `import type` names isn't among them, nor what is imported on demand. */
async function loadsWith(entry: URL, found = new Set<string>()): Promise<Set<string>> {
  if (found.has(entry.href)) return found;
  found.add(entry.href);
  const source = await readFile(entry, "utf8");
  for (const [, name] of source.matchAll(/^(?:import|export)\s(?!type\s)(?:[^;]*?\sfrom\s)?"([^"]+)";/gm)) {
    if (name!.startsWith(".")) await loadsWith(new URL(name!, entry), found);
    else found.add(name!);
  }
  return found;
}

test.each([
  "index.ts",
  "checkpoint/index.ts",
  "engine/simd/worker-main.ts",
  "grammar/index.ts",
  "harmony/index.ts",
  "interpret/index.ts",
  "oracle/digest.ts",
  "tokenizer/index.ts",
  "tools/index.ts",
])("src/%s needs neither Node.js nor a bundler", async (path) => {
  const found = [...(await loadsWith(new URL(`../src/${path}`, import.meta.url)))];
  expect(found.filter((name) => !name.startsWith("file:"))).toEqual([]);
  expect(found.filter((name) => name.endsWith("-node.ts"))).toEqual([]);
});

test("the search for imports finds those of Node.js", async () => {
  const found = await loadsWith(new URL("../src/oracle/trace-file.ts", import.meta.url));
  expect(found).toContain("node:fs/promises");
});
