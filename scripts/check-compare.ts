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
import { load } from "../src/generation/model.ts";
import type { DialectName } from "../src/numerics/dialects.ts";
import { compare } from "../src/oracle/compare.ts";
import { readAnyTrace } from "../src/oracle/formats/index.ts";
import type { ShapeHints } from "../src/oracle/names.ts";
import { measuredFloor, type NoiseFloor, noiseFloor } from "../src/oracle/noise-floor.ts";
import { conclusion } from "../src/oracle/report/words.ts";
import { type Trace, trace } from "../src/oracle/trace.ts";
import { type Bug, checkBuggyLayers, LAYERS } from "./buggy-layers.ts";

/** Heads as in scripts/golden/checkpoint.py. */
const HINTS: ShapeHints = { heads: 4, kvHeads: 2, headDim: 16, layers: LAYERS };

await checkBuggyLayers(160, async ({ model, ids, dialect, title, bugs, capture }, tell) => {
  const own = await ours(model, dialect, ids);
  const table = noiseFloor(dialect, dialect, LAYERS);
  const againstTruth = noiseFloor(dialect, "f64", LAYERS);
  const truth = await ours(model, "f64", ids);
  const measured = measuredFloor([compare(own, truth, againstTruth)], table, "this model");
  const theirs = async (how: "trace" | "modules", bug?: Bug): Promise<Trace> =>
    (await readAnyTrace(await capture(how, bug), { hints: HINTS })).trace;
  const expectFirst = (
    what: string,
    floor: NoiseFloor,
    trace: Trace,
    accepts: (point: string | undefined) => boolean,
  ): void => {
    const comparison = compare(trace, own, floor);
    const found = comparison.firstDivergence;
    const step =
      found?.step &&
      `, step ${found.step.median.toPrecision(2)}/${found.step.floor.median.toPrecision(2)}, ${found.step.worst.toPrecision(2)}/${found.step.floor.worst.toPrecision(2)}`;
    const first = found ? `${found.point}, token ${found.firstToken}${step ?? ""}` : "agrees";
    const good = accepts(found?.point) && comparison.points.length > LAYERS;
    tell(good, `${title}: ${what}: ${first}\n      ${conclusion(comparison)}`);
  };
  const agrees = (point: string | undefined): boolean => point === undefined;

  const whole = await theirs("trace");
  expectFirst("untouched", table, whole, agrees);
  expectFirst("untouched, noise measured", measured, whole, agrees);
  expectFirst("untouched, modules", table, await theirs("modules"), agrees);
  expectFirst("untouched against f64", againstTruth, whole, agrees);
  for (const bug of bugs) {
    const { name, point, hidden } = bug;
    const unseen = (found: string | undefined): boolean => hidden && found === undefined;
    const right = (found: string | undefined): boolean => found === `layers.3.${point}` || unseen(found);
    expectFirst(name, table, await theirs("trace", bug), right);
    const half = `layers.3.${point.split(".")[0]}.`;
    const near = (found: string | undefined): boolean => found?.startsWith(half) === true || unseen(found);
    expectFirst(`${name}, modules`, table, await theirs("modules", bug), near);
  }
});

async function ours(path: string, dialect: DialectName, ids: readonly number[]): Promise<Trace> {
  await using model = await load(path, { dialect, tokenizer: false });
  return await trace(model.transformer, ids);
}
