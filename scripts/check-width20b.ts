/**
 * Checks the model at gpt-oss-20b's own widths (2880, 64/8 heads, 32 experts, vocabulary 201088; 2 layers) against values
 * sampled from PyTorch and transformers, golden/width20b. The checkpoint has 3.3 GB and is made first:
 *
 *     npx gpt-oss synth --shape 20b --layers 2 --format hf --out DIR
 *     npx tsx scripts/check-width20b.ts --model DIR [--dialects f64,f32,bf16-openai,bf16-hf]
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { table } from "../src/cli/terminal.ts";
import { load } from "../src/generation/model.ts";
import type { DialectName } from "../src/numerics/dialects.ts";
import { differing, relativeRms } from "../src/oracle/checks.ts";
import { type Trace, trace } from "../src/oracle/trace.ts";
import { readTrace } from "../src/oracle/trace-file.ts";

interface Manifest {
  readonly ids: number[];
  readonly checkpoint: { readonly files: Record<string, { readonly sha256: string }> };
  readonly distances: Record<string, Record<string, { readonly all: number }>>;
}

/** The dialects that PyTorch ran in, too. */
type Compared = Exclude<DialectName, "int16" | "int8">;

/** Which of PyTorch's runs a dialect is held against. */
const RUN: Record<Compared, string> = {
  f64: "f64",
  f32: "f64",
  "bf16-openai": "bf16-openai",
  "bf16-hf": "bf16-transformers",
};

const { values: options } = parseArgs({
  options: {
    model: { type: "string" },
    dialects: { type: "string", default: "f64,f32,bf16-openai,bf16-hf" },
  },
});
const golden = fileURLToPath(new URL("../golden/width20b", import.meta.url));
const manifest: Manifest = JSON.parse(await readFile(join(golden, "manifest.json"), "utf8"));
const samples = (await readTrace(join(golden, "samples.safetensors"))).trace;

const folder = options.model;
if (folder === undefined)
  throw new Error("--model DIR is missing: see the head of this script for how to make it");
await checkDigests(folder);
const rows: string[][] = [];
for (const dialect of options.dialects.split(",") as Compared[]) {
  const start = performance.now();
  const model = await load(folder, { dialect, tokenizer: false });
  const points = judge(dialect, await trace(model.transformer, manifest.ids));
  await model.close();
  const worst = points.reduce((a, b) => (b.ratio <= a.ratio ? a : b));
  const pooled = Math.sqrt(points.reduce((sum, { ratio }) => sum + ratio ** 2, 0) / points.length);
  // one bf16 value that rounds the other way grows to many in the layers behind: hold the points together to the third
  const passed = dialect.startsWith("bf16") ? pooled <= 1 : worst.ratio <= 1;
  if (!passed) process.exitCode = 1;
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  const exact = points.filter(({ error }) => error === 0).length;
  rows.push([
    ...[dialect, `${exact} of ${points.length}`, pooled.toFixed(2), worst.ratio.toFixed(2), worst.point],
    ...[worst.error.toExponential(1), seconds, passed ? "ok" : "FAILED"],
  ]);
}
const heading = [
  "dialect",
  "exact points",
  "#pooled/allowed",
  "#worst/allowed",
  "at",
  "#relative rms",
  "#seconds",
  "verdict",
];
console.log(table(heading, rows));
console.log(`peak RSS ${(process.resourceUsage().maxRSS / 2 ** 20).toFixed(1)} GiB`);

/** The error of each point's sampled values, and its ratio to what the point may stray. */
function judge(dialect: Compared, actual: Trace): { point: string; error: number; ratio: number }[] {
  const run = RUN[dialect];
  return [...actual].flatMap(([point, { data }]) => {
    const at = samples.get(`${point}.at`);
    if (!at) return []; // ids
    const expected = samples.get(`${point}.${run}`)!.data;
    const mine = Float64Array.from(at.data, (i) => data[i]!);
    const isIds = point.endsWith("expert_ids");
    const error = isIds ? differing(mine, expected) : relativeRms(mine, expected);
    const ratio = error === 0 ? 0 : error / (isIds ? 0 : allowedAt(dialect, point));
    return [{ point, error, ratio }];
  });
}

/** As in src/oracle/verify.ts: storage in float32, thrice PyTorch's own float32 error, a third of its bf16 error. */
function allowedAt(dialect: Compared, point: string): number {
  if (dialect === "f64") return 1e-7;
  const group = point.replace(/^layers\.\d+\./, "");
  const distance = (run: string): number => manifest.distances[`${run} to f64`]?.[group]?.all ?? 0;
  return dialect === "f32" ? Math.max(1e-7, 3 * distance("f32")) : distance(RUN[dialect]) / 3;
}

async function checkDigests(folder: string): Promise<void> {
  for (const [name, { sha256 }] of Object.entries(manifest.checkpoint.files)) {
    const hash = createHash("sha256");
    await pipeline(createReadStream(join(folder, name)), hash);
    if (hash.digest("hex") !== sha256)
      throw new Error(`${name} is not the file that the golden values come from`);
  }
}
