import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { DialectName } from "../src/numerics/dialects.ts";
import { PyTorch } from "./pytorch.ts";

/** Of the random checkpoints; the bugs are in layer 3. */
export const LAYERS = 6;

/** One of check-compare.py's, and the trace point in layer 3 that is the first to be wrong. */
export interface Bug {
  readonly name: string;
  readonly point: string;
  /** Too small for bfloat16 to tell from its own rounding. */
  readonly hidden: boolean;
}

/** One package in one precision, on one random checkpoint. */
export interface Run {
  readonly model: string;
  readonly ids: readonly number[];
  readonly dialect: DialectName;
  readonly title: string;
  readonly bugs: readonly Bug[];
  /** Has the package write its activations, with a bug or untouched, and returns the file. */
  capture(how: "trace" | "modules", bug?: Bug): Promise<string>;
}

/** Whether what was found is right; prints it. */
export type Tell = (good: boolean, line: string) => void;

/** Runs a check on both packages in float32 and bfloat16, as the command line says, and ends with the count. */
export async function checkBuggyLayers(
  tokens: number,
  check: (run: Run, tell: Tell) => Promise<void>,
): Promise<void> {
  const text = (value: string) => ({ type: "string", default: value }) as const;
  const { values: options } = parseArgs({
    options: { python: text(process.env["PYTHON"] ?? "python3"), seeds: text("1"), only: text("") },
  });
  const torch = new PyTorch(options.python, "check-compare.py");
  let [passed, failed] = [0, 0];
  const tell: Tell = (good, line) => {
    if (good) passed++;
    else failed++;
    console.log(`${good ? "ok  " : "FAIL"}  ${line}`);
  };
  const folder = await mkdtemp(join(tmpdir(), "buggy-layers-"));
  try {
    const all = await torch.run<{ source: string; name: string; point: string }[]>({ do: "bugs" });
    for (let seed = 1; seed <= Number(options.seeds); seed++) {
      const model = join(folder, `model-${seed}`);
      const ids = await torch.run<number[]>({ do: "draw", out: model, layers: LAYERS, seed, tokens });
      for (const source of ["transformers", "openai"] as const) {
        for (const dtype of ["float32", "bfloat16"] as const) {
          await check(
            {
              ...{ model, ids, title: `${source} ${dtype}, seed ${seed}` },
              dialect: dtype === "float32" ? "f32" : source === "openai" ? "bf16-openai" : "bf16-hf",
              bugs: all
                .filter((bug) => bug.source === source && bug.name.includes(options.only))
                .map((bug) => ({
                  ...bug,
                  hidden: dtype === "bfloat16" && bug.name === "eps of the norm 1e-3",
                })),
              async capture(how, bug) {
                const out = join(folder, how === "trace" ? "theirs.safetensors" : "theirs.npz");
                await torch.run({ do: how, model, ids, source, dtype, out, ...(bug && { bug: bug.name }) });
                return out;
              },
            },
            tell,
          );
        }
      }
    }
  } finally {
    torch.close();
    await rm(folder, { recursive: true, force: true });
  }
  console.log(`\n${passed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}
