/**
 * Compares this project's speed with its peers' on one GGUF file: with llama.cpp (node-llama-cpp, native CPU code) and
 * with wllama (llama.cpp in WebAssembly, in headless Chromium). docs/benchmarks.md tells how to read the result.
 *
 *     npm run build && npm --prefix scripts/bench-peers ci
 *     npx gpt-oss synth --shape 20b --layers 2 --format gguf --dense q8_0 --out DIR
 *     npx tsx scripts/bench-peers/main.ts DIR/gpt-oss-20b-mxfp4.gguf [--node PATH]… [--chromium PATH] [--json]
 *
 * The programs take turns run by run, not one after the other: what memory a virtual machine gets can change meanwhile.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { cpus } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import type { Measurement, Program, Task } from "./measurement.ts";
import { nodeLlamaCpp } from "./node-llama-cpp.ts";
import { ours } from "./ours.ts";
import { type Runs, reportText, summarize } from "./report.ts";
import { MAX_FILE_BYTES, wllama } from "./wllama.ts";

const HELP = `usage: npx tsx scripts/bench-peers/main.ts MODEL.gguf [options]

  --threads N       threads of each program (2)
  --prompt P        tokens of the prompt (512)
  --gen G           tokens made after it, one at a time (32)
  --rounds R        rounds, in each of which every program runs once (3)
  --dialect NAME    of ours; repeatable (int8)
  --node PATH       Node, Deno or Bun that runs ours; repeatable (this Node)
  --cli PATH        ours, built (dist/cli/main.js)
  --peers NAMES     node-llama-cpp,wllama, or one of them, or none
  --chromium PATH   a Chromium for wllama (chromium or google-chrome on PATH)
  --timeout S       seconds after which a run is given up (1800)
  --json            all runs and the summary as JSON
  --verbose         also what wllama logs`;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: "string", default: "2" },
    prompt: { type: "string", default: "512" },
    gen: { type: "string", default: "32" },
    rounds: { type: "string", default: "3" },
    dialect: { type: "string", multiple: true, default: ["int8"] },
    node: { type: "string", multiple: true, default: [process.execPath] },
    cli: { type: "string", default: fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url)) },
    peers: { type: "string", default: "node-llama-cpp,wllama" },
    chromium: { type: "string" },
    timeout: { type: "string", default: "1800" },
    json: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const [file] = positionals;
if (options.help || file === undefined) {
  console.log(HELP);
  process.exit(options.help ? 0 : 2);
}

const model = resolve(file);
const task: Task = {
  model,
  threads: positive("threads"),
  prompt: positive("prompt"),
  gen: positive("gen"),
  timeout: 1000 * positive("timeout"),
};
const rounds = positive("rounds");
const programs = await choosePrograms(statSync(model).size);
const runs: Runs[] = programs.map(({ name, ours }) => ({ name, ours, measurements: [], errors: [] }));
let busiest = 0;
for (let round = 1; round <= rounds; round++) {
  for (const [i, program] of programs.entries()) {
    const busy = await busyCores();
    busiest = Math.max(busiest, busy);
    const warning = busy > 0.3 ? ` (other programs use ${busy.toFixed(1)} cores!)` : "";
    process.stderr.write(`round ${round} of ${rounds}: ${program.name}${warning}\n`);
    await runOnce(program, runs[i]!);
  }
}
const modelBytes = statSync(model).size;
const cpu = `${cpus().length} × ${cpus()[0]?.model ?? "unknown CPU"}`;
const setup = { ...task, modelBytes, rounds, cpu, busiest };
if (options.json) console.log(JSON.stringify({ setup, runs, summary: summarize(runs) }, undefined, 2));
else console.log(reportText(setup, runs));
if (runs.some(({ errors }) => errors.length > 0)) process.exitCode = 1;

async function runOnce(program: Program, { measurements, errors }: Runs): Promise<void> {
  let measurement: Measurement | undefined;
  try {
    measurement = await program.run(task);
  } catch (error) {
    errors.push((error as Error).message);
    process.stderr.write(`${program.name}: ${(error as Error).message}\n`);
  }
  measurements.push(measurement); // rounds stay aligned, for ratios within one
}

/** How many cores the machine uses while nothing of ours runs. */
async function busyCores(): Promise<number> {
  const idle = (): number => cpus().reduce((sum, { times }) => sum + times.idle, 0);
  const [idleBefore, start] = [idle(), performance.now()];
  await setTimeout(1000);
  return Math.max(0, cpus().length - (idle() - idleBefore) / (performance.now() - start));
}

async function choosePrograms(bytes: number): Promise<Program[]> {
  const chosen: Program[] = [];
  for (const runtime of options.node) {
    for (const dialect of options.dialect) chosen.push(await ours(runtime, resolve(options.cli), dialect));
  }
  for (const peer of options.peers.split(",")) {
    if (peer === "node-llama-cpp") chosen.push(nodeLlamaCpp(installed("node-llama-cpp")));
    else if (peer === "wllama") {
      const version = installed("@wllama/wllama");
      if (bytes < MAX_FILE_BYTES) chosen.push(wllama(version, findChromium(), options.verbose));
      else process.stderr.write("wllama is left out: it has at most 4 GiB for weights and everything else\n");
    } else if (peer !== "" && peer !== "none") throw new Error(`unknown peer: ${peer}`);
  }
  return chosen;
}

function installed(name: string): string {
  const path = fileURLToPath(new URL(`node_modules/${name}/package.json`, import.meta.url));
  if (!existsSync(path)) throw new Error(`${name} is missing: npm --prefix scripts/bench-peers ci`);
  return JSON.parse(readFileSync(path, "utf8")).version;
}

function findChromium(): string {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const paths = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  const path = options.chromium ?? paths.find((candidate) => existsSync(candidate));
  if (path === undefined)
    throw new Error("no Chromium on PATH: give --chromium PATH, or --peers node-llama-cpp");
  execFileSync(path, ["--version"], { stdio: "ignore" }); // fails here rather than after the first runs
  return path;
}

function positive(name: "threads" | "prompt" | "gen" | "rounds" | "timeout"): number {
  const value = Number(options[name]);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} is no positive integer`);
  return value;
}
