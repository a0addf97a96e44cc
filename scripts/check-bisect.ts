/**
 * Whether `bisect` accuses the operation that is wrong, and no other: traces of PyTorch's packages on a random checkpoint of six
 * layers, untouched and with one bug in layer 3 (those of check-compare.py).
 *
 *     npx tsx scripts/check-bisect.ts [--python PATH] [--seeds N] [--only WORD]
 *
 * Needs Python with the packages of scripts/golden/README.md. For both packages, in float32 and in bfloat16: nothing may differ in the
 * untouched trace, the bug's point and nothing else in the others, but
 * for what the same mistake changes too; of residual streams alone, its half of the layer.
 */
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { load, type Model } from "../src/generation/model.ts";
import type { DialectName } from "../src/numerics/dialects.ts";
import { bisect } from "../src/oracle/bisect.ts";
import { fitTheirs } from "../src/oracle/theirs.ts";
import type { Trace } from "../src/oracle/trace.ts";
import { readTrace } from "../src/oracle/trace-file.ts";
import { type Bug, checkBuggyLayers } from "./buggy-layers.ts";

/** One mistake that changes two operations: both are turned or not, the softmax has two results, keys' heads are values' heads. */
const TWINS: Readonly<Record<string, string>> = {
  "layers.3.attn.q_rope": "layers.3.attn.k_rope",
  "layers.3.attn.weights": "layers.3.attn.sink",
  "layers.3.attn.scores": "layers.3.attn.context",
};

await checkBuggyLayers(140, async ({ model, dialect, title, bugs, capture }, tell) => {
  const expectFirst = async (what: string, trace: Trace, accepted: readonly (string | undefined)[]) => {
    const found = await differing(model, trace, dialect);
    const [first, ...others] = found;
    const good = accepted.includes(first) && others.every((point) => point === TWINS[first!]);
    const expected = good ? "" : `; expected ${accepted.join(" or ") || "nothing"}`;
    tell(good, `${what}: ${found.join(", ") || "nothing differs"}${expected}`);
  };
  const check = async (bug?: Bug): Promise<void> => {
    const { trace } = await readTrace(await capture("trace", bug));
    const what = `${title}: ${bug?.name ?? "untouched"}`;
    const point = bug && `layers.3.${bug.point}`;
    await expectFirst(what, trace, bug?.hidden ? [point, undefined] : [point]);
    if (bug?.hidden) return;
    const residuals = new Map([...trace].filter(([name]) => /residual$|^ids$/.test(name)));
    const half = bug && `layers.3.${bug.point.split(".")[0]}.residual`;
    await expectFirst(`${what}, residuals only`, residuals, [half]);
  };
  await check();
  for (const bug of bugs) await check(bug);
});

/** Points that bisect accuses. */
async function differing(path: string, trace: Trace, dialect: DialectName): Promise<string[]> {
  const { config, close } = await openCheckpoint(path);
  await close();
  const open = (name: DialectName): Promise<Model> => load(path, { dialect: name, tokenizer: false });
  const { findings } = await bisect(open, fitTheirs(trace, config), dialect);
  return findings.filter(({ verdict }) => verdict === "differs").map(({ point }) => point);
}
