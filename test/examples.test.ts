import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { EXAMPLES, missing } from "./support/examples.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

test("every example is told what to print", async () => {
  expect(await readdir(`${root}examples`)).toEqual(Object.keys(EXAMPLES).toSorted());
});

test.each(Object.keys(EXAMPLES))("examples/%s runs, and prints what it promises", async (name) => {
  const { stdout } = await promisify(execFile)("node", ["--import", "tsx", `examples/${name}`], {
    cwd: root,
  });
  expect(missing(name, stdout), stdout).toBeUndefined();
});
