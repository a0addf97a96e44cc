/** Writes docs/known-bugs.md from the library: `npx tsx scripts/mutants/list.ts`. */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { knownBugsPage } from "./page.ts";

await writeFile(fileURLToPath(new URL("../../docs/known-bugs.md", import.meta.url)), knownBugsPage());
