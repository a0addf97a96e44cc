/**
 * The chat page, from src/server/page/client/ to dist/: one readable script with what it imports, and the other files as they are.
 */
import { cp, mkdir, readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const from = new URL("../src/server/page/client/", import.meta.url);
const to = new URL("../dist/server/page/client/", import.meta.url);

/** The licences of packages that are within the script, in a file beside it. */
const licences = {
  name: "licences",
  async generateBundle(_options, bundle) {
    const modules = Object.values(bundle).flatMap(({ moduleIds = [] }) => moduleIds);
    const folders = modules.map((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+\//.exec(id)?.[0]);
    let source = "";
    for (const folder of new Set(folders.filter(Boolean))) {
      const { name, version } = JSON.parse(await readFile(`${folder}package.json`, "utf8"));
      const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
      const text = await readFile(`${folder}${file}`, "utf8");
      source += `${name} ${version}\n\n${text.trim()}\n\n\n`;
    }
    this.emitFile({ type: "asset", fileName: "licences.txt", source });
  },
};

await mkdir(to, { recursive: true });
for (const name of ["index.html", "style.css", "icon.svg"]) await cp(new URL(name, from), new URL(name, to));
await build({
  root: fileURLToPath(from),
  configFile: false,
  logLevel: "warn",
  plugins: [licences],
  build: {
    target: "es2023",
    outDir: fileURLToPath(to),
    emptyOutDir: false,
    minify: false,
    lib: { entry: "main.ts", formats: ["es"], fileName: () => "main.js" },
  },
});
