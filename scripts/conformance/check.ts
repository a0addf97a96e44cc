/**
 * Checks of the conformance pack that need Python; two minutes on an idle machine:
 *
 *     npx tsx scripts/conformance/check.ts --python .venv/bin/python [--only pack,captures,runtimes,harmony]
 *
 * pack: the archive is unpacked, and its own reader accepts the goldens and refuses a damaged file; any Python will do.
 * captures: the capture scripts, on the goldens' checkpoints, against golden/model and against scripts/golden/capture.py.
 * runtimes: transformers behind a command conforms, and with each of its bugs fails where it should. The last two need the
 * packages of scripts/golden/requirements.txt, and gpt-oss.
 * harmony: the same of openai-harmony, which scripts/golden-text/requirements.txt brings.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, parseArgs, promisify } from "node:util";
import { commandRuntime } from "../../src/oracle/conformance/command.ts";
import { conformance } from "../../src/oracle/conformance/index.ts";
import { conformanceText } from "../../src/oracle/conformance/report.ts";
import type { Level, Precision } from "../../src/oracle/conformance/runtime.ts";
import { readTrace } from "../../src/oracle/trace-file.ts";
import { GOLDEN } from "./manifest.ts";
import { packArchive } from "./pack.ts";

const { values: options } = parseArgs({
  options: {
    python: { type: "string", default: "python3" },
    only: { type: "string", default: "pack,captures,runtimes,harmony" },
  },
});
const here = fileURLToPath(new URL(".", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "conformance-"));
let failures = 0;

function report(name: string, passed: boolean, detail = ""): void {
  if (!passed) failures++;
  console.log(`${passed ? "ok  " : "FAIL"}  ${name}${detail && `: ${detail}`}`);
}

/** Exit status of a command, with what it printed. */
async function status(command: string, args: readonly string[]): Promise<{ code: number; text: string }> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { maxBuffer: 1 << 26 });
    return { code: 0, text: stdout };
  } catch (error) {
    const { code, stdout = "", stderr = "" } = error as { code?: number; stdout?: string; stderr?: string };
    return { code: code ?? -1, text: stdout + stderr };
  }
}
const python = (...args: string[]): Promise<{ code: number; text: string }> => status(options.python, args);

async function checkPack(): Promise<void> {
  const archive = join(folder, "pack.tar.gz");
  await writeFile(archive, await packArchive());
  report("tar unpacks the archive", (await status("tar", ["-xzf", archive, "-C", folder])).code === 0);
  const root = join(folder, (await readdir(folder)).find((name) => name.startsWith("gpt-oss-conformance"))!);
  const reader = join(root, "conformance/read.py");
  const expected: [string, string[], number][] = [
    ["the reader verifies the archive", ["verify"], 0],
    ["it takes float64 for float32", ["compare", join(GOLDEN, "model/f64.safetensors")], 0],
    [
      "it takes bfloat16 for bfloat16",
      ["compare", join(GOLDEN, "model/bf16-openai.safetensors"), "bfloat16"],
      0,
    ],
    ["it refuses bfloat16 as float32", ["compare", join(GOLDEN, "model/bf16-openai.safetensors")], 1],
    ["it refuses a file of something else", ["compare", join(GOLDEN, "ops/linear.safetensors")], 1],
  ];
  for (const [name, args, code] of expected) {
    const result = await python(reader, ...args);
    report(name, result.code === code, result.code === code ? "" : result.text);
  }
  await writeFile(join(root, "patch/patches.jsonl"), "");
  report("it refuses a damaged pack", (await python(reader, "verify")).code === 1);
}

async function checkCaptures(): Promise<void> {
  const ids = join(GOLDEN, "model/ids.json");
  for (const [source, layout] of [
    ["transformers", "checkpoint"],
    ["openai", "original"],
  ] as const) {
    const model = join(GOLDEN, "model", layout);
    const script = join(here, `capture_${source}.py`);
    const whole = join(folder, `${source}.safetensors`);
    const layers = join(folder, `${source}-layers.safetensors`);
    const golden = join(folder, `${source}-golden.safetensors`);
    const few = join(folder, `${source}-few.safetensors`);
    const common = ["--model", model, "--ids", ids, "--threads", "1"];
    await python(script, ...common, "--out", whole);
    await python(script, ...common, "--out", layers, "--by-layers");
    await python(
      script,
      ...common,
      "--out",
      few,
      "--by-layers",
      "--points",
      "layers.*.moe.residual,logits",
      "--store",
      "float32",
    );
    await python(
      join(here, "../golden/capture.py"),
      ...common,
      "--out",
      golden,
      "--source",
      source,
      "--dtype",
      "bfloat16",
    );
    const traces = await Promise.all(
      [whole, layers, golden, few].map(async (path) => (await readTrace(path)).trace),
    );
    const [a, b, c, d] = traces as [
      (typeof traces)[0],
      (typeof traces)[0],
      (typeof traces)[0],
      (typeof traces)[0],
    ];
    report(`${source}: layer by layer gives the bits of the whole model`, isDeepStrictEqual(a, b));
    const same = [...c].every(([point, { data }]) => isDeepStrictEqual(a.get(point)?.data, data));
    report(
      `${source}: all ${c.size - 1} points have the bits of scripts/golden/capture.py`,
      same && a.size === c.size,
    );
    report(
      `${source}: --points keeps what it names`,
      [...d.keys()].sort().join() === "ids,layers.0.moe.residual,layers.1.moe.residual,logits",
    );
    const result = await conformance(
      { logits: (prompt) => rows(a, prompt.length), trace: () => a },
      { precision: "bfloat16", levels: [1, 2] },
    );
    report(
      `${source}: what it captures conforms`,
      result.passed,
      result.passed ? "" : conformanceText(result),
    );
  }
}

function rows(trace: Awaited<ReturnType<typeof readTrace>>["trace"], tokens: number): Float64Array[] {
  const { shape, data } = trace.get("logits")!;
  const vocab = shape[1]!;
  return Array.from({ length: tokens }, (_, t) =>
    Float64Array.from(data.subarray(t * vocab, (t + 1) * vocab)),
  );
}

/** Bugs of example_transformers.py: where level 1 has to find them, and the point that level 2 has to name. */
const BUGS: Readonly<Record<string, [hint: RegExp, point: string]>> = {
  "window-129": [/from token 128 on: the sliding window is missing, one too wide/, "layers.0.attn.scores"],
  "window-127": [/from token 127 on: the sliding window is one too narrow/, "layers.0.attn.scores"],
  "no-yarn": [/The first token alone is wrong.*YaRN/, "layers.0.attn.q_rope"],
  "truncated-yarn": [/token 1 isn't.*truncate false/, "layers.0.attn.q_rope"],
  "no-sinks": [/The first token alone is wrong.*sink/, "layers.0.attn.weights"],
  "gate-up-halves": [/The first token alone is wrong.*gate and up interleaved/, "layers.0.moe.gate_up"],
  "no-clamp": [/The first token alone is wrong.*clamp at 7/, "layers.0.moe.swiglu"],
  positions: [/token 1 isn't.*positions from 0/, "layers.0.attn.q_rope"],
};

async function behindCommand(script: string, args: string, precision: Precision, levels: Level[]) {
  await using runtime = commandRuntime(`"${options.python}" "${join(here, script)}" ${args}`, {
    timeout: 600_000,
  });
  return await conformance(runtime, { precision, levels });
}

async function checkRuntimes(): Promise<void> {
  const run = (args: string, precision: Precision, levels: Level[]) =>
    behindCommand("example_transformers.py", args, precision, levels);
  for (const precision of ["float32", "bfloat16"] as const) {
    const result = await run(`--dtype ${precision}`, precision, [1, 2, 5]);
    const all = result.passed && result.levels.every(({ status }) => status === "passed");
    report(`transformers in ${precision} conforms`, all, all ? "" : conformanceText(result));
  }
  for (const [bug, [hint, point]] of Object.entries(BUGS)) {
    const { levels } = await run(`--bug ${bug}`, "float32", [1, 2]);
    const found = levels.map(({ hint }) => hint ?? "nothing");
    const right = hint.test(found[0]!) && found[1]!.startsWith(`${point} is the first that differs`);
    report(`${bug} is found`, right, right ? "" : found.join(" | "));
  }
}

/** Bugs of example_harmony.py: the level that has to fail, alone, and its hint. */
const HARMONY_BUGS: Readonly<Record<string, [level: Level, hint: RegExp]>> = {
  "special-tokens": [3, /Special tokens written as text are text/],
  "analysis-kept": [4, /Analysis ahead of the last final answer is dropped/],
  channels: [4, /A header is role/],
};

async function checkHarmony(): Promise<void> {
  const run = (args: string) => behindCommand("example_harmony.py", args, "float32", [3, 4]);
  const result = await run("");
  report("openai-harmony conforms", result.passed, result.passed ? "" : conformanceText(result));
  for (const [bug, [level, hint]] of Object.entries(HARMONY_BUGS)) {
    const failed = (await run(`--bug ${bug}`)).levels.filter(({ status }) => status === "failed");
    const right = failed.length === 1 && failed[0]!.level === level && hint.test(failed[0]!.hint ?? "");
    report(`${bug} is found`, right, right ? "" : failed.map((one) => one.hint).join(" | "));
  }
}

try {
  const checks: Readonly<Record<string, () => Promise<void>>> = {
    pack: checkPack,
    captures: checkCaptures,
    runtimes: checkRuntimes,
    harmony: checkHarmony,
  };
  for (const name of options.only.split(","))
    await (checks[name] ?? (() => Promise.reject(new Error(`no check ${name}`))))();
} finally {
  await rm(folder, { recursive: true });
}
console.log(failures === 0 ? "all right" : `${failures} failed`);
process.exitCode = failures === 0 ? 0 : 1;
