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
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { load, type Model } from "../src/generation/model.ts";
import type { DialectName } from "../src/numerics/dialects.ts";
import { bisect } from "../src/oracle/bisect.ts";
import { fitTheirs } from "../src/oracle/theirs.ts";
import type { Trace } from "../src/oracle/trace.ts";
import { readTrace } from "../src/oracle/trace-file.ts";
import { PyTorch } from "./pytorch.ts";

const text = (value: string) => ({ type: "string", default: value }) as const;
const { values: options } = parseArgs({
  options: { python: text(process.env["PYTHON"] ?? "python3"), seeds: text("1"), only: text("") },
});

const [LAYERS, TOKENS] = [6, 140];
/** Too small for bfloat16 to tell from its own rounding. */
const BELOW_BFLOAT16: readonly string[] = ["eps of the norm 1e-3"];

/** One mistake that changes two operations: both are turned or not, the softmax has two results, keys' heads are values' heads. */
const TWINS: Readonly<Record<string, string>> = {
  "layers.3.attn.q_rope": "layers.3.attn.k_rope",
  "layers.3.attn.weights": "layers.3.attn.sink",
  "layers.3.attn.scores": "layers.3.attn.context",
};

interface Bug {
  readonly source: "transformers" | "openai";
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
  const folder = await mkdtemp(join(tmpdir(), "check-bisect-"));
  try {
    const model = join(folder, "model");
    const ids = await torch.run<number[]>({ do: "draw", out: model, layers: LAYERS, seed, tokens: TOKENS });
    for (const source of ["transformers", "openai"] as const) {
      for (const dtype of ["float32", "bfloat16"] as const) {
        const dialect = dtype === "float32" ? "f32" : source === "openai" ? "bf16-openai" : "bf16-hf";
        const out = join(folder, "theirs.safetensors");
        const check = async (bug?: Bug): Promise<void> => {
          const named = bug && { bug: bug.name };
          await torch.run({ do: "trace", model, ids, source, dtype, out, ...named });
          const { trace } = await readTrace(out);
          const what = `${source} ${dtype}, seed ${seed}: ${bug?.name ?? "untouched"}`;
          const hidden = dtype === "bfloat16" && bug !== undefined && BELOW_BFLOAT16.includes(bug.name);
          const point = bug && `layers.3.${bug.point}`;
          tell(what, await differing(model, trace, dialect), hidden ? [point!, undefined] : [point]);
          if (hidden) return;
          const residuals = new Map([...trace].filter(([name]) => /residual$|^ids$/.test(name)));
          const half = bug && `layers.3.${bug.point.split(".")[0]}.residual`;
          tell(`${what}, residuals only`, await differing(model, residuals, dialect), [half]);
        };
        await check();
        for (const bug of bugs)
          if (bug.source === source && bug.name.includes(options.only)) await check(bug);
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Points that bisect accuses. */
async function differing(path: string, trace: Trace, dialect: DialectName): Promise<string[]> {
  const { config, close } = await openCheckpoint(path);
  await close();
  const open = (name: DialectName): Promise<Model> => load(path, { dialect: name, tokenizer: false });
  const { findings } = await bisect(open, fitTheirs(trace, config), dialect);
  return findings.filter(({ verdict }) => verdict === "differs").map(({ point }) => point);
}

function tell(what: string, found: readonly string[], accepted: readonly (string | undefined)[]): void {
  const [first, ...others] = found;
  const good = accepted.includes(first) && others.every((point) => point === TWINS[first!]);
  if (good) passed++;
  else failed++;
  console.log(
    `${good ? "ok  " : "FAIL"}  ${what}: ${found.join(", ") || "nothing differs"}${good ? "" : `; expected ${accepted.join(" or ") || "nothing"}`}`,
  );
}
