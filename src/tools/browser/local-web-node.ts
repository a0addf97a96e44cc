import { readFile } from "node:fs/promises";
import { isAbsolute, normalize, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { UsageError } from "../../errors.ts";
import type { LocalPage } from "./local-web.ts";

/** Pages of a folder, as its `index.json` lists them. Throws UsageError on an index of another kind. */
export async function readLocalWeb(folder: string | URL): Promise<readonly LocalPage[]> {
  const root = typeof folder === "string" ? folder : fileURLToPath(folder);
  const where = resolve(root, "index.json");
  const entries: unknown = JSON.parse(await readFile(where, "utf8"));
  if (!Array.isArray(entries)) throw new UsageError("the index is no list", { where });
  return Promise.all(
    entries.map(async (entry, i) => {
      const { url, title, file } = Object(entry) as Record<string, unknown>;
      if (typeof url !== "string" || typeof title !== "string" || typeof file !== "string") {
        throw new UsageError("a page lacks its url, title or file", { where: `${where}, entry ${i}` });
      }
      const path = normalize(file);
      if (isAbsolute(path) || path === ".." || path.startsWith(`..${sep}`)) {
        throw new UsageError("a page lies outside the folder", {
          where: `${where}, entry ${i}`,
          found: file,
        });
      }
      return { url, title, html: await readFile(resolve(root, path), "utf8") };
    }),
  );
}
