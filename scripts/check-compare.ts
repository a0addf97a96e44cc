/**
 * Whether `compare` accepts what is right and names what is wrong: traces of PyTorch's packages on a random checkpoint of six layers,
 * untouched and with one bug in layer 3, against ours.
 *
 *     npx tsx scripts/check-compare.ts [--python PATH] [--seeds N] [--only WORD]
 *
 * Needs Python with the packages of scripts/golden/README.md. For both packages, in float32 and in bfloat16: the untouched trace must agree,
 * with the table of noise and with the noise measured on the prompt; every bug of check-compare.py must be found at its very point. The same of
 * traces that hold the modules' outputs alone, under the packages' own names; there a bug must be found in its half of the layer.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { load } from "../src/generation/model.ts";
import type { DialectName } from "../src/numerics/dialects.ts";
import { type Comparison, compare } from "../src/oracle/compare.ts";
import { readAnyTrace } from "../src/oracle/formats/index.ts";
import type { ShapeHints } from "../src/oracle/names.ts";
import { measuredFloor, type NoiseFloor, noiseFloor } from "../src/oracle/noise-floor.ts";
import { conclusion } from "../src/oracle/report/words.ts";
import { type Trace, trace } from "../src/oracle/trace.ts";
import { PyTorch } from "./pytorch.ts";

const text = (value: string) => ({ type: "string", default: value }) as const;
const { values: options } = parseArgs({
  options: { python: text(process.env["PYTHON"] ?? "python3"), seeds: text("1"), only: text("") },
});

const [LAYERS, TOKENS] = [6, 160];
/** Heads as in scripts/golden/checkpoint.py. */
const HINTS: ShapeHints = { heads: 4, kvHeads: 2, headDim: 16, layers: LAYERS };
/** Too small for bfloat16 to tell from its own rounding. */
const BELOW_BFLOAT16: readonly string[] = ["eps of the norm 1e-3"];

type Source = "transformers" | "openai";
interface Bug {
  readonly source: Source;
  readonly name: string;
  readonly point: string;
}

const torch = new PyTorch(options.python, "check-compare.py");
let [passed, failed] = [0, 0];
try {
  const bugs = await torch.run<Bug[]>({ do: "bugs" });
  for (let seed = 1; seed <= Number(options.seeds); seed++) await checkSeed(seed, bugs);
} finally {
  torch.close();
}
console.log(`\n${passed} passed, ${failed} failed`);
if (failed > 0) process.exitCode = 1;

async function checkSeed(seed: number, bugs: readonly Bug[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "check-compare-"));
  try {
    const model = join(folder, "model");
    const ids = await torch.run<number[]>({ do: "draw", out: model, layers: LAYERS, seed, tokens: TOKENS });
    const truth = await ours(model, "f64", ids);
    for (const source of ["transformers", "openai"] as const) {
      for (const dtype of ["float32", "bfloat16"] as const) {
        const dialect: DialectName =
          dtype === "float32" ? "f32" : source === "openai" ? "bf16-openai" : "bf16-hf";
        const own = await ours(model, dialect, ids);
        const table = noiseFloor(dialect, dialect, LAYERS);
        const measured = measuredFloor(
          [compare(own, truth, noiseFloor(dialect, "f64", LAYERS))],
          table,
          "this model",
        );
        const at = `${source} ${dtype}, seed ${seed}`;
        const capture = async (how: "trace" | "modules", bug?: string): Promise<Trace> => {
          const out = join(folder, how === "trace" ? "theirs.safetensors" : "theirs.npz");
          await torch.run({ do: how, model, ids, source, dtype, out, ...(bug !== undefined && { bug }) });
          return (await readAnyTrace(out, { hints: HINTS })).trace;
        };
        const expectFirst = (
          what: string,
          floor: NoiseFloor,
          theirs: Trace,
          accepts: (point: string | undefined) => boolean,
        ): void => tell(`${at}: ${what}`, compare(theirs, own, floor), accepts);
        const agrees = (point: string | undefined): boolean => point === undefined;
        const [whole, modules] = [await capture("trace"), await capture("modules")];
        expectFirst("untouched", table, whole, agrees);
        expectFirst("untouched, noise measured", measured, whole, agrees);
        expectFirst("untouched, modules", table, modules, agrees);
        expectFirst("untouched against f64", noiseFloor(dialect, "f64", LAYERS), whole, agrees);
        for (const { name, point } of bugs.filter(
          (bug) => bug.source === source && bug.name.includes(options.only),
        )) {
          const hidden = dtype === "bfloat16" && BELOW_BFLOAT16.includes(name);
          const right = (found: string | undefined): boolean =>
            found === `layers.3.${point}` || (hidden && found === undefined);
          expectFirst(name, table, await capture("trace", name), right);
          const half = `layers.3.${point.split(".")[0]}.`;
          const near = (found: string | undefined): boolean =>
            found?.startsWith(half) === true || (hidden && found === undefined);
          expectFirst(`${name}, modules`, table, await capture("modules", name), near);
        }
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function ours(path: string, dialect: DialectName, ids: readonly number[]): Promise<Trace> {
  await using model = await load(path, { dialect, tokenizer: false });
  return await trace(model.transformer, ids);
}

function tell(what: string, comparison: Comparison, accepts: (point: string | undefined) => boolean): void {
  const found = comparison.firstDivergence;
  const good = accepts(found?.point) && comparison.points.length > LAYERS;
  if (good) passed++;
  else failed++;
  const step =
    found?.step &&
    `, step ${found.step.median.toPrecision(2)}/${found.step.floor.median.toPrecision(2)}, ${found.step.worst.toPrecision(2)}/${found.step.floor.worst.toPrecision(2)}`;
  console.log(
    `${good ? "ok  " : "FAIL"}  ${what}: ${found ? `${found.point}, token ${found.firstToken}${step ?? ""}` : "agrees"}`,
  );
  console.log(`      ${conclusion(comparison)}`);
}
