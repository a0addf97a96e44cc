import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { register } from "../../src/cli/conformance.ts";
import { UsageError } from "../../src/errors.ts";
import { type CommandOptions, commandRuntime } from "../../src/oracle/conformance/command.ts";
import { NotOffered } from "../../src/oracle/conformance/runtime.ts";
import { writeTrace } from "../../src/oracle/trace-file.ts";
import { run } from "../cli/run.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "command-"));
});
afterAll(() => rm(folder, { recursive: true }));

let scripts = 0;
/** A command that answers each request with what the body of a function of `request` returns. */
async function command(body: string, before = ""): Promise<string> {
  const path = join(folder, `runtime-${scripts++}.mjs`);
  await writeFile(
    path,
    `import { createInterface } from "node:readline";
     import { readFileSync } from "node:fs";
     const say = (text) => process.stdout.write(text);
     ${before}
     for await (const line of createInterface({ input: process.stdin })) {
       const request = JSON.parse(line);
       const answer = await (async () => { ${body} })();
       if (answer !== undefined) say(JSON.stringify({ id: request.id, ...answer }) + "\\n");
     }`,
  );
  return `"${process.execPath}" "${path}"`;
}

async function ask<T>(
  body: string,
  use: (runtime: ReturnType<typeof commandRuntime>) => T | Promise<T>,
  options: CommandOptions = {},
  before = "",
) {
  await using runtime = commandRuntime(await command(body, before), options);
  return await use(runtime);
}

describe("a command answers", () => {
  test("each kind of request", async () => {
    await writeTrace(
      join(folder, "trace.safetensors"),
      new Map([["logits", { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) }]]),
      {},
    );
    const body = `
      if (request.trace) return { file: ${JSON.stringify(join(folder, "trace.safetensors"))} };
      if (request.batch) return { batch: request.batch.map((ids) => ids.map((id) => [id])) };
      if (request.encode !== undefined) return { ids: [...request.encode].map((c) => c.codePointAt(0)) };
      if (request.decode) return { text: String.fromCodePoint(...request.decode) };
      if (request.render) return { ids: [request.render.length, +request.dropAnalysis] };
      if (request.parse) return { messages: [{ role: request.role, content: String(request.parse) }] };
      if (request.session) return request.ids ? { logits: [request.session, ...request.ids] } : {};
      if (request.ids[0] === 9) return { file: ${JSON.stringify(join(folder, "trace.safetensors"))} };
      return { logits: request.ids.map((id) => [id, -id]) };`;
    await ask(body, async (runtime) => {
      expect(await runtime.logits!([1, 2])).toEqual([
        [1, -1],
        [2, -2],
      ]);
      expect(await runtime.logits!([9, 9])).toEqual([
        [1, 2],
        [3, 4],
      ]);
      expect([...(await runtime.trace!([1]))].map(([name, { shape }]) => [name, shape])).toEqual([
        ["logits", [2, 2]],
      ]);
      expect(await runtime.batch!([[1], [2, 3]])).toEqual([[[1]], [[2], [3]]]);
      expect(await runtime.encode!("aé😀")).toEqual([0x61, 0xe9, 0x1f600]);
      expect(await runtime.decode!([0x61, 0x1f600])).toBe("a😀");
      expect(await runtime.render!([], { dropAnalysis: true })).toEqual([0, 1]);
      expect(await runtime.parse!([7], "tool")).toEqual([{ role: "tool", content: "7" }]);
      const [a, b] = [await runtime.open!(), await runtime.open!()];
      expect([await a.feed([5]), await b.feed([6])]).toEqual([[[1, 5]], [[2, 6]]]);
      await a.truncate!(0);
      await a.close!();
    });
  });

  test("with logits in an .npy file", async () => {
    // as numpy.save writes numpy.float32([[1, 2], [3, 4]])
    const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }".padEnd(117).concat("\n");
    const path = join(folder, "logits.npy");
    const start = Buffer.from([0x93, ...Buffer.from("NUMPY"), 1, 0, header.length, 0]);
    await writeFile(
      path,
      Buffer.concat([start, Buffer.from(header), Buffer.from(Float32Array.of(1, 2, 3, 4).buffer)]),
    );
    const body = `return { file: ${JSON.stringify(path)} };`;
    expect(await ask(body, (runtime) => runtime.logits!([1, 2]))).toEqual([
      [1, 2],
      [3, 4],
    ]);
  });

  test("among lines that are none, in pieces, at the folder of goldens that it is given", async () => {
    const body = `say("loading…\\n"); say(\`{"id":\${request.id},"te\`); await new Promise((r) => setTimeout(r, 20)); say('xt":"' + process.env.GPT_OSS_GOLDEN + '"}\\n');`;
    expect(
      await ask(body, (runtime) => runtime.decode!([1]), { golden: "/pack" }, 'say("banner\\n[1]\\n");'),
    ).toBe("/pack");
  });
});

describe("a command that misbehaves is an error that says how", () => {
  const logits = (options?: CommandOptions) => (body: string) =>
    ask(body, (runtime) => runtime.logits!([1, 2]), options);
  test.each<[string, string, RegExp]>([
    ["NaN", `say('{"logits":[[NaN]]}\\n')`, /NaN in the answer, which JSON has no word for/],
    ["no JSON", `say('{"logits":\\n')`, /the answer is no JSON/],
    ["no logits", "return {}", /the answer has no logits/],
    ["words for numbers", 'return { logits: [["1"]] }', /rows of numbers/],
    ["rows of rows", "return { logits: [[[1]]] }", /rows of numbers/],
    ["its own error", 'return { error: "no memory" }', /the command says: no memory/],
    [
      "an answer to something else",
      "return { id: 77, logits: [[1]] }",
      /an answer to request 77, expected 1/,
    ],
    ["a file that isn't there", 'return { file: "/nowhere" }', /no file of at most 1024 MiB: \/nowhere/],
    ["a folder for a file", 'return { file: "/" }', /no file/],
    ["a file without logits", `return { file: ${JSON.stringify(process.execPath)} }`, /too long|header/],
    ["an end", 'console.error("boom"); process.exit(3)', /ended with status 3; it said: boom/],
    [
      "a line without an end",
      `while (true) if (!say("{" + "x".repeat(1 << 20))) await new Promise((r) => process.stdout.once("drain", r));`,
      /a line of more than 64 MiB/,
    ],
    [
      "noise without an end",
      `while (true) if (!say("x".repeat(1 << 20) + "\\n")) await new Promise((r) => process.stdout.once("drain", r));`,
      /too much output/,
    ],
  ])("%s", async (_, body, message) => {
    await expect(logits()(body)).rejects.toThrow(message);
  });

  test("silence", async () => {
    await expect(
      logits({ timeout: 300 })("await new Promise(() => setInterval(() => {}, 1000))"),
    ).rejects.toThrow("no answer within 0.3 s");
  });

  test("a command that can't be found", async () => {
    await using runtime = commandRuntime("no-such-command-here");
    await expect(runtime.logits!([1])).rejects.toThrow(/ended with status 127/);
    await expect(runtime.logits!([1])).rejects.toThrow(/ended with status 127/);
  });

  test("what isn't offered is told apart", async () => {
    await expect(logits()("return { unsupported: true }")).rejects.toThrow(NotOffered);
  });
});

test("nothing of a command stays behind, even if it doesn't listen", async () => {
  const body = `if (request.ids) { process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); return { logits: [process.pid] }; }`;
  const runtime = commandRuntime(await command(body));
  const [[pid]] = (await runtime.logits!([1])) as [[number]];
  const alive = () => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  expect(alive()).toBe(true);
  await runtime.close();
  for (let i = 0; i < 100 && alive(); i++) await sleep(20);
  expect(alive()).toBe(false);
});

describe("gpt-oss conformance", () => {
  // PyTorch's float64 logits from golden/model, read without this package; `wrong` is the first token that they are changed at
  const recorded = (wrong: number) =>
    command(
      `return request.trace || request.session || request.batch ? { unsupported: true }
        : { logits: request.ids.map((_, t) => [...rows.subarray(200 * t, 200 * (t + 1))].map((x) => (t >= ${wrong} ? 1.01 * x : x))) };`,
      `const file = readFileSync(process.env.GPT_OSS_GOLDEN + "/model/f64.safetensors");
       const length = Number(file.readBigUInt64LE(0));
       const [from, to] = JSON.parse(file.toString("utf8", 8, 8 + length)).logits.data_offsets;
       const rows = new Float32Array(file.buffer.slice(file.byteOffset + 8 + length + from, file.byteOffset + 8 + length + to));`,
    );
  const status = async (...args: string[]) => {
    process.exitCode = 0;
    const text = await run(register, "conformance", ...args);
    const code = process.exitCode;
    process.exitCode = 0;
    return { text, code };
  };

  test("passes a right runtime", async () => {
    const { text, code } = await status("--run", await recorded(1000), "--levels", "1,2,5");
    expect(text).toMatch(
      /level 1 {2}logits +passed[\s\S]*level 2 .*skipped[\s\S]*level 5 .*passed[\s\S]*Conforms\.$/,
    );
    expect(code).toBe(0);
  });

  test("fails a wrong one with status 1, and says where to look", async () => {
    const { text, code } = await status("--run", await recorded(128), "--json");
    const report = JSON.parse(text);
    expect(report).toMatchObject({
      passed: false,
      precision: "float32",
      levels: [{ level: 1, status: "failed" }],
    });
    expect(report.levels[0].hint).toMatch(/sliding window is missing/);
    expect(code).toBe(1);
  });

  test("refuses levels that there aren't, and no command", async () => {
    await expect(status("--run", "true", "--levels", "1,7")).rejects.toThrow(/numbers from 1 to 5/);
    await expect(status("--run", " ")).rejects.toThrow(UsageError);
  });
});

test("the documentation of the requests names what the command is asked", async () => {
  const page = await readFile(new URL("../../docs/conformance.md", import.meta.url), "utf8");
  for (const key of [
    "ids",
    "trace",
    "batch",
    "session",
    "truncate",
    "close",
    "encode",
    "decode",
    "render",
    "dropAnalysis",
    "parse",
    "role",
  ])
    expect(page).toContain(`"${key}":`);
});
