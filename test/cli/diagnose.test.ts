import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { register } from "../../src/cli/diagnose.ts";
import type { HostTensor } from "../../src/engine/ops.ts";
import { UsageError } from "../../src/errors.ts";
import { MUTANTS } from "../../src/oracle/mutants/index.ts";
import { MutantRunner } from "../../src/oracle/mutants/runner.ts";
import { writeTrace } from "../../src/oracle/trace-file.ts";
import { run } from "./run.ts";

const MODEL = fileURLToPath(new URL("../../golden/model/checkpoint", import.meta.url));
const ids = Array.from({ length: 12 }, (_, i) => 3 + ((i * 37) % 190));
let folder: string;
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "diagnose-"));
  const checkpoint = await openCheckpoint(MODEL);
  await using runner = new MutantRunner(checkpoint);
  for (const name of ["sinks-zero", "correct"]) {
    const changes = MUTANTS.filter((mutant) => mutant.name === name).map(({ change }) => change);
    const logits = await runner.logits(ids, "f32", changes);
    const all = new Map<string, HostTensor>([["logits", logits]]);
    await writeTrace(at(`${name}-bare`), all, {});
    all.set("ids", { shape: [ids.length], data: Int32Array.from(ids) });
    await writeTrace(at(name), all, { dtype: "float32" });
  }
  await checkpoint.close();
});
afterAll(() => rm(folder, { recursive: true }));
afterEach(() => {
  process.exitCode = 0;
});

const diagnose = (...args: string[]): Promise<string> => run(register, "diagnose", ...args);

test("a bug is named, with what to do, and exit status 1", async () => {
  const text = await diagnose(MODEL, at("sinks-zero"), "--mutants", "sinks-*");
  expect(process.exitCode).toBe(1);
  expect(text).toMatch(/^Found:\n {2}sinks-zero: /);
  expect(text).toContain("fix: Load self_attn.sinks");
});

test("correct logits have exit status 0", async () => {
  const text = await diagnose(MODEL, at("correct"), "--mutants", "sinks-*,window-*");
  expect(process.exitCode).toBe(0);
  expect(text).toMatch(/^No bug: /);
  expect(text).toMatch(/8 bugs need more tokens, at most 129/);
});

test("the diagnosis as JSON", async () => {
  const json = JSON.parse(await diagnose(MODEL, at("sinks-zero"), "--mutants", "sinks-*", "--json"));
  expect(json).toMatchObject({ verdict: "bug", bugs: [[{ name: "sinks-zero" }]], precision: "f32" });
});

test("a prompt that shows all is written, and serves as ids", async () => {
  await diagnose(MODEL, "--prompt", at("prompt.json"));
  const { ids } = JSON.parse(await readFile(at("prompt.json"), "utf8")) as { ids: number[] };
  expect(ids.length).toBeGreaterThanOrEqual(300);
});

test("the bugs are listed", async () => {
  expect((await diagnose("--list")).split("\n")).toHaveLength(MUTANTS.length + 2);
});

test("bad input is refused", async () => {
  await expect(diagnose(MODEL, at("correct-bare"))).rejects.toThrow(/no token ids.*--ids/);
  await expect(diagnose(MODEL)).rejects.toThrow(UsageError);
  await expect(diagnose(MODEL, at("correct"), "--mutants", "nonsense")).rejects.toThrow(
    /no bug has such a name/,
  );
});
