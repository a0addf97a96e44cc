import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { digestActivations } from "../../src/oracle/digest.ts";

test("one digest over all activations, emulated, on one thread and on two", async () => {
  const read = (path: string): Promise<Uint8Array> =>
    readFile(new URL(`../../golden/${path}`, import.meta.url));
  const runs = [{ engine: "reference" }, { threads: 1 }, { threads: 2, chunkSize: 64 }] as const;
  const results = await digestActivations(read, runs);
  expect(new Set(results.map(({ digest }) => digest)).size).toBe(1);
  expect(results.map(({ simd }) => simd)).toEqual(["none", "relaxed", "relaxed"]);
});
