import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { applyPatch } from "../../src/tools/patch/apply.ts";
import { parsePatch } from "../../src/tools/patch/parse.ts";
import { applyPatchTool } from "../../src/tools/patch/patch-tool.ts";
import { partsOf } from "../../src/tools/patch/path.ts";

const RUNS = 300 * Number(process.env["FUZZ_RUNS"] ?? 1);
let base: string;
let root: string;

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), "patch-"));
  root = join(base, "root");
  await mkdir(join(root, "src"), { recursive: true });
  await mkdir(join(base, "outside"));
  await writeFile(join(base, "outside", "secret.txt"), "secret\n");
  await writeFile(join(root, "a.txt"), "one\ntwo\nthree\n");
  await writeFile(join(root, "src", "b.txt"), "uno\ndos\n");
});
afterEach(() => rm(base, { recursive: true, force: true }));

async function call(content: string, dryRun = false): Promise<{ text: string; isError?: boolean }> {
  const tool = applyPatchTool({ root, dryRun });
  return await tool.call(
    { recipient: "functions.apply_patch", function: "apply_patch", content },
    { signal: new AbortController().signal },
  );
}

const patch = (...lines: string[]): string => ["*** Begin Patch", ...lines, "*** End Patch"].join("\n");

/** All files below a folder, links as links. */
async function tree(folder: string, below = ""): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) Object.assign(found, await tree(folder, path));
    else found[path] = entry.isFile() ? await readFile(join(folder, path), "utf8") : "(special)";
  }
  return found;
}

describe("apply_patch", () => {
  test("updates, moves, adds and deletes in one go, leaving nothing behind", async () => {
    await chmod(join(root, "a.txt"), 0o750);
    const text = patch(
      "*** Update File: a.txt",
      "*** Move to: deep/er/a.txt",
      "@@ one",
      "-two",
      "+2",
      "*** Delete File: src/b.txt",
      "*** Add File: c.txt",
      "+new",
    );
    const dry = await call(text, true);
    expect(dry.text).toBe("Would change:\nM a.txt → deep/er/a.txt (+1 −1)\nD src/b.txt\nA c.txt (+1)");
    expect(Object.keys(await tree(root)).sort()).toEqual(["a.txt", "src/b.txt"]);
    expect(await call(text)).toEqual({ text: "Done!" });
    expect(await tree(root)).toEqual({ "deep/er/a.txt": "one\n2\nthree\n", "c.txt": "new" });
    expect((await stat(join(root, "deep/er/a.txt"))).mode & 0o777).toBe(0o750);
  });

  test("reads a patch out of JSON, as an object's last value or a string", async () => {
    const text = patch("*** Delete File: a.txt");
    expect((await call(JSON.stringify({ explanation: "x", input: text }))).text).toBe("Done!");
    expect((await call(JSON.stringify(patch("*** Delete File: src/b.txt")))).text).toBe("Done!");
    expect((await call('{"patch": 1}')).isError).toBe(true);
    expect((await call("{")).text).toMatch(/Error parsing JSON/);
  });

  test("keeps CRLF, a byte order mark and the lack of a last line end", async () => {
    await writeFile(join(root, "w.txt"), "\ufeffa\r\nb\r\nc");
    const text = patch("*** Update File: w.txt", "@@", " b", "-c", "+C", "+d", "*** End of File");
    expect((await call(text)).text).toBe("Done!");
    expect(await readFile(join(root, "w.txt"), "utf8")).toBe("\ufeffa\r\nb\r\nC\r\nd");
  });

  test.each([
    "/etc/passwd",
    "../outside/secret.txt",
    "src/../../outside/secret.txt",
    "C:\\x",
    "src\\b.txt",
    "a.txt:stream",
    "~/x",
    "a\u0000.txt",
    "a\u202etxt.exe",
    "a\u200b.txt",
    "dot.",
    "space ",
    "src//b.txt",
    "src/",
    ".",
    ".git/hooks/pre-commit",
    "src/.GIT/config",
    "nul",
    "x/aux.txt",
    "x".repeat(300),
  ])("refuses to write to %j", async (path) => {
    expect(() => partsOf(path)).toThrow(/Path not allowed/);
    for (const text of [
      patch(`*** Add File: ${path}`, "+x"),
      patch("*** Update File: a.txt", `*** Move to: ${path}`, "@@", "-one"),
    ])
      expect((await call(text)).isError).toBe(true);
    expect(await tree(base)).toEqual({
      "outside/secret.txt": "secret\n",
      "root/a.txt": "one\ntwo\nthree\n",
      "root/src/b.txt": "uno\ndos\n",
    });
  });

  test("follows no link, at the end of a path or on the way, and opens no device", async () => {
    await symlink(join(base, "outside"), join(root, "link"));
    await symlink(join(base, "outside", "secret.txt"), join(root, "leaf.txt"));
    await symlink(join(base, "outside", "not-there"), join(root, "dangling.txt"));
    execFileSync("mkfifo", [join(root, "pipe")]);
    for (const text of [
      patch("*** Update File: link/secret.txt", "@@", "-secret", "+x"),
      patch("*** Add File: link/new.txt", "+x"),
      patch("*** Add File: link/deeper/new.txt", "+x"),
      patch("*** Update File: leaf.txt", "@@", "-secret", "+x"),
      patch("*** Delete File: leaf.txt"),
      patch("*** Add File: dangling.txt", "+x"),
      patch("*** Update File: a.txt", "*** Move to: link/a.txt", "@@", "-one"),
      patch("*** Delete File: link/secret.txt"),
      patch("*** Update File: pipe", "@@", "+x"),
      patch("*** Delete File: src"),
      patch("*** Add File: a.txt/below", "+x"),
    ])
      expect([text, (await call(text)).isError]).toEqual([text, true]);
    expect(await tree(join(base, "outside"))).toEqual({ "secret.txt": "secret\n" });
    expect((await tree(root))["a.txt"]).toBe("one\ntwo\nthree\n");
  });

  test("changes nothing when one of several operations fails", async () => {
    const before = await tree(base);
    for (const last of [
      ["*** Update File: src/b.txt", "@@", "-nowhere"],
      ["*** Add File: src", "+in the way of a folder"],
      ["*** Add File: src/b.txt", "+there already"],
      ["*** Delete File: not/there"],
      ["*** Add File: new/A", "+x", "*** Add File: new/a", "+x"],
    ])
      expect(
        (await call(patch("*** Add File: n/e/w.txt", "+x", "*** Delete File: a.txt", ...last))).isError,
      ).toBe(true);
    expect(await tree(base)).toEqual(before);
    expect(await readdir(root)).toEqual(["a.txt", "src"]);
  });

  test("refuses what isn't text, is too large or costs too much", async () => {
    await writeFile(join(root, "binary"), Uint8Array.of(0xff, 0xfe, 0));
    expect((await call(patch("*** Update File: binary", "@@", "+x"))).text).toMatch(/UTF-8/);
    await writeFile(join(root, "large"), "x".repeat(9 * 2 ** 20));
    expect((await call(patch("*** Update File: large", "@@", "+x"))).text).toMatch(/too large/);
    expect((await call("x".repeat(5 * 2 ** 20))).text).toMatch(/too long/);
    const same = "a\n".repeat(200_000);
    const costly = patch("*** Update File: f", "@@", ...new Array(100_000).fill(" a"), " b");
    const start = performance.now();
    expect(() => applyPatch(parsePatch(costly), new Map([["f", same]]))).toThrow(/takes too long/);
    expect(performance.now() - start).toBeLessThan(20_000);
  });

  test("rejects with the reason of an aborted signal", async () => {
    const tool = applyPatchTool({ root });
    const signal = AbortSignal.abort(new Error("enough"));
    const pending = tool.call(
      { recipient: "functions.apply_patch", function: "apply_patch", content: "" },
      { signal },
    );
    await expect(pending).rejects.toThrow("enough");
  });
});

// FUZZ_RUNS=34 for more than 10 000
test(
  "patches of any kind change the folder wholly or not at all, and nothing outside",
  async () => {
    await symlink("../outside", join(root, "link"));
    const path = fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom("a.txt", "src/b.txt", "new", "x/y", "src/new") },
      fc.constantFrom(
        "link/secret.txt",
        "link/n",
        "../outside/n",
        "/tmp/never",
        "src",
        "A.TXT",
        "./a.txt",
        "src/./b.txt",
      ),
      fc.string({ unit: "binary", maxLength: 8 }),
    );
    const body = fc.oneof(
      fc.constantFrom("one", "two", "three", "uno", "dos", "", " two"),
      fc.string({ maxLength: 6 }),
    );
    const hunkLine = fc.tuple(fc.constantFrom(" ", "-", "+", "@@ ", ""), body).map((parts) => parts.join(""));
    const operation = fc.oneof(
      path.map((p) => [`*** Delete File: ${p}`]),
      fc
        .tuple(path, fc.array(body, { maxLength: 3 }))
        .map(([p, b]) => [`*** Add File: ${p}`, ...b.map((l) => `+${l}`)]),
      fc
        .tuple(path, fc.option(path), fc.array(hunkLine, { maxLength: 5 }), fc.boolean())
        .map(([p, to, lines, end]) => [
          `*** Update File: ${p}`,
          ...(to === null ? [] : [`*** Move to: ${to}`]),
          "@@",
          ...lines,
          ...(end ? ["*** End of File"] : []),
        ]),
    );
    let applied = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { maxLength: 4 }),
        fc.string({ maxLength: 3 }),
        async (operations, junk) => {
          await rm(root, { recursive: true, force: true });
          await mkdir(join(root, "src"), { recursive: true });
          await symlink("../outside", join(root, "link"));
          await writeFile(join(root, "a.txt"), "one\ntwo\nthree\n");
          await writeFile(join(root, "src", "b.txt"), "uno\ndos\n");
          const before = await tree(root);
          const text = `${patch(...operations.flat())}${junk}`;
          const { isError } = await call(text);
          const after = await tree(root);
          expect(await tree(join(base, "outside"))).toEqual({ "secret.txt": "secret\n" });
          expect((await readdir(base)).sort()).toEqual(["outside", "root"]);
          if (isError) {
            expect(after).toEqual(before);
            return;
          }
          applied++;
          // what the pure functions say, for paths written plainly
          const plain = (p: string): string => partsOf(p).join("/");
          const expected = new Map(Object.entries(before));
          const operationsPlain = parsePatch(text).map((o) => ({ ...o, path: plain(o.path) }));
          for (const change of applyPatch(operationsPlain, new Map(expected))) {
            if (change.type === "delete") expected.delete(change.path);
            else if (change.type === "add") expected.set(change.path, change.content);
            else {
              expected.delete(change.path);
              expected.set(plain(change.moveTo ?? change.path), change.content);
            }
          }
          expect(after).toEqual(Object.fromEntries(expected));
        },
      ),
      { seed: 1, numRuns: RUNS },
    );
    expect(applied).toBeGreaterThan(RUNS / 50);
  },
  200 * RUNS,
);
