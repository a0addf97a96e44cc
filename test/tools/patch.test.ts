import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { applyPatch } from "../../src/tools/patch/apply.ts";
import { PatchError } from "../../src/tools/patch/error.ts";
import { parsePatch } from "../../src/tools/patch/parse.ts";

interface Case {
  readonly files: Record<string, string>;
  readonly patch: string;
  readonly after?: Record<string, string>;
  readonly error?: string;
}

const golden = new URL("../../golden/patch/patches.jsonl", import.meta.url);
const cases = readFileSync(golden, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as Case);

/** Files after a patch, or the error's message. */
function patched(patch: string, before: Record<string, string>): Record<string, string> | string {
  try {
    const after = new Map(Object.entries(before));
    for (const change of applyPatch(parsePatch(patch), new Map(after))) {
      if (change.type === "delete") after.delete(change.path);
      else if (change.type === "add") after.set(change.path, change.content);
      else {
        after.delete(change.path);
        after.set(change.moveTo ?? change.path, change.content);
      }
    }
    return Object.fromEntries([...after].sort());
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    return error.message;
  }
}

test("600 patches give the files and refusals of gpt-oss's own apply_patch", () => {
  const wrong = cases.filter(({ files, patch, after }) => {
    const ours = patched(patch, files);
    if (after === undefined) return typeof ours !== "string";
    return JSON.stringify(ours) !== JSON.stringify(Object.fromEntries(Object.entries(after).sort()));
  });
  expect(wrong.map(({ patch, error }) => ({ patch, error }))).toEqual([]);
  expect(cases.filter(({ after }) => after !== undefined).length).toBeGreaterThan(250);
});
