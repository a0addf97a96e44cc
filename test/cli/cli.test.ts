import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { load } from "../../src/generation/model.ts";
import { trace } from "../../src/oracle/trace.ts";
import { writeTrace } from "../../src/oracle/trace-file.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const MODEL = fileURLToPath(new URL("../../golden/model/checkpoint", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "gpt-oss-cli-"));
afterAll(() => rm(folder, { recursive: true }));

interface Outcome {
  status: number;
  stdout: string;
  stderr: string;
}

/** Runs the command line as a user does, from source. */
function gptOss(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile("node", ["--import", "tsx", MAIN, ...args], (error, stdout, stderr) => {
      resolve({ status: error ? Number(error.code) : 0, stdout, stderr });
    });
    child.stdin?.end();
  });
}

async function idsFile(name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

test("generate --ids --json tells ids, text, log-probabilities, finish reason and timing", async () => {
  const ids = await idsFile("ids.json", "[3, 4, 105]");
  const run = ["generate", "--model", MODEL, "--ids", ids, "--max-tokens", "4", "--json"];
  const { status, stdout } = await gptOss(...run, "--temperature", "0", "--logprobs", "2", "--threads", "2");
  expect(status).toBe(0);
  const result = JSON.parse(stdout);
  expect(result.ids).toHaveLength(4);
  expect(result.logprobs).toHaveLength(4);
  expect(result.top_logprobs[0]).toHaveLength(2);
  expect(result.top_logprobs[0][0]).toEqual({ id: result.ids[0], logprob: result.logprobs[0] });
  expect(result).toMatchObject({ text: null, finish_reason: "length" });
  expect(result.timing).toMatchObject({ load_ms: expect.any(Number), tokens_per_second: expect.any(Number) });

  const object = await idsFile("object.json", '{"ids": [3, 4, 105]}');
  const again = await gptOss(
    "generate",
    "--model",
    MODEL,
    "--ids",
    object,
    "--max-tokens",
    "4",
    "--json",
    "--temperature",
    "0",
  );
  expect(JSON.parse(again.stdout).ids).toEqual(result.ids);
});

test("a seed reproduces a sampled text", async () => {
  const ids = await idsFile("ids.json", "[3, 4, 105]");
  const run = (seed: string): Promise<Outcome> =>
    gptOss(
      ...[
        "generate",
        "--model",
        MODEL,
        "--ids",
        ids,
        "--max-tokens",
        "8",
        "--json",
        "--temperature",
        "1",
        "--seed",
        seed,
      ],
    );
  const [a, b, c] = (await Promise.all([run("7"), run("7"), run("-8")])).map(
    ({ stdout }) => JSON.parse(stdout).ids,
  );
  expect(a).toEqual(b);
  expect(a).not.toEqual(c);
});

test("trace writes what compare accepts, and compare tells dialects apart", async () => {
  const ids = await idsFile("ids.json", "[3, 4, 105, 21]");
  const trace = async (name: string, dialect: string): Promise<string> => {
    const out = join(folder, `${name}.safetensors`);
    const { status } = await gptOss("trace", MODEL, "--ids", ids, "--out", out, "--dialect", dialect);
    expect(status).toBe(0);
    return out;
  };
  const [f32, f64, bf16] = await Promise.all([
    trace("f32", "f32"),
    trace("f64", "f64"),
    trace("bf16", "bf16-hf"),
  ]);
  const near = await gptOss("compare", f32, f64, "--json");
  expect(near.status).toBe(0);
  expect(JSON.parse(near.stdout)).toMatchObject({ version: 1, agrees: true, firstDivergence: null });
  expect((await gptOss("compare", bf16, f64)).status).toBe(0); // within bf16's own noise
  const far = await gptOss("compare", bf16, f64, "--floor", "1e-5");
  expect(far.status).toBe(1);
  expect(far.stdout.replaceAll(/\s+/g, " ")).toContain(
    "Attention of layer 0: the embedding agrees, the norm ahead of attention parts from the first",
  );
  expect((await readdir(folder)).filter((name) => name.includes("partial"))).toEqual([]);
});

test("compare measures the noise with a model, draws a page and knows the dialects", async () => {
  const write = async (dialect: "bf16-hf" | "f64"): Promise<string> => {
    const out = join(folder, `noise-${dialect}.safetensors`);
    await using model = await load(MODEL, { dialect, tokenizer: false });
    await writeTrace(out, await trace(model.transformer, [3, 4, 105, 21]), { dialect });
    return out;
  };
  const [bf16, f64] = [await write("bf16-hf"), await write("f64")];
  const page = join(folder, "report.html");
  const measured = await gptOss("compare", bf16, f64, "--model", MODEL, "--html", page);
  expect([measured.status, measured.stderr]).toEqual([0, ""]);
  expect(measured.stdout).toContain("measured on this prompt");
  expect(await readFile(page, "utf8")).toMatch(/^<!doctype html>.*No divergence/s);
  const unheard = await gptOss("compare", bf16, f64, "--dialects", "bf16,f64");
  expect([unheard.status, unheard.stderr]).toEqual([
    2,
    expect.stringMatching(/^gpt-oss: --dialects takes two dialects.*\n$/),
  ]);
});

test("trace takes a choice of points", async () => {
  const ids = await idsFile("ids.json", "[3, 4]");
  const out = join(folder, "some.safetensors");
  const points = "layers.*.moe.residual,logits";
  const { stdout } = await gptOss("trace", MODEL, "--ids", ids, "--out", out, "--points", points, "--json");
  expect(JSON.parse(stdout)).toEqual({ out, points: 3, tokens: 2, dialect: "int16" });
});

test("verify passes on this installation", async () => {
  const { status, stdout } = await gptOss("verify");
  expect(stdout).toMatch(/^checkpoint files +\d/m); // the digests of the small checkpoint are among the checks
  expect(stdout).toMatch(/^\d+ passed, 0 failed$/m);
  expect(status).toBe(0);
});

test.each([
  [
    ["generate", "hello", "--model", "openai/gpt-oss-20b"],
    /^gpt-oss: no such model \(openai\/gpt-oss-20b\)\. Hub names .*\n$/,
  ],
  [["generate", "--model", MODEL], /^gpt-oss: no prompt \(stdin\)\n$/],
  [
    ["generate", "hello", "--model", MODEL],
    /^gpt-oss: the checkpoint has no tokenizer .*tokenizer\.json.*\n$/,
  ],
  [["generate", "hello", "--temperature", "warm"], /Expected a number from 0 to 100/],
  [["generate", "hello", "--dialect", "f16"], /Allowed choices are f64, f32, bf16-openai, bf16-hf/],
  [
    ["generate", "--ids", "EMPTY", "--model", MODEL],
    /^gpt-oss: no token ids \(.*\): expected an array .*\n$/,
  ],
  [
    ["generate", "--ids", "WRONG", "--model", MODEL],
    /^gpt-oss: not a token id .*index 1\): expected an integer .*"x"\n$/,
  ],
  [
    ["generate", "--ids", "LARGE", "--model", MODEL],
    /^gpt-oss: token id outside the vocabulary \(token 1\): expected 0 to 199, found 200\n$/,
  ],
  [
    ["generate", "--ids", "missing.json", "--model", MODEL],
    /^gpt-oss: can't read the token ids \(missing\.json\): found ENOENT.*\n$/,
  ],
  [
    ["trace", MODEL, "--ids", "FINE", "--out", "x", "--points", "nothing"],
    /^gpt-oss: no trace point matches \(nothing\)\. .*\n$/,
  ],
  [["compare", "FINE", "FINE"], /^gpt-oss: .*(safetensors|header).*\n$/],
  [["inspect", "FINE"], /^gpt-oss: .*\n$/],
  [["dance"], /unknown command 'dance'/],
])("bad input ends in one line and status 2: %j", async (args, message) => {
  const files: Record<string, string> = {
    EMPTY: "[]",
    WRONG: '[1, "x"]',
    LARGE: "[1, 200]",
    FINE: "[1, 2, 3]",
  };
  const resolved = await Promise.all(
    args.map((arg) => (files[arg] ? idsFile(`${arg}.json`, files[arg]) : arg)),
  );
  const { status, stdout, stderr } = await gptOss(...resolved);
  expect(stderr).toMatch(message);
  expect(stderr).not.toMatch(/^\s+at /m);
  expect(stdout).toBe("");
  expect(status).toBe(2);
});

test("--debug shows the stack", async () => {
  const { stderr } = await gptOss("generate", "hello", "--model", "no/such/model", "--debug");
  expect(stderr).toMatch(/UsageError: no such model[\s\S]*\n\s+at /);
});

test("what npm builds can be run by name, as npx does", async () => {
  const { scripts, bin } = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
  expect(scripts.prepare).toBe("npm run build");
  expect(scripts.build).toContain(`chmodSync('${bin["gpt-oss"]}', 0o755)`); // tsc writes no executable files
});
