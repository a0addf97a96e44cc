import type { EngineOptions } from "../engine/index.ts";
import type { HostTensor } from "../engine/ops.ts";
import { load } from "../generation/model.ts";
import type { DialectName } from "../numerics/dialects.ts";
import { type Check, type CheckResult, differing, relativeRms } from "./checks.ts";
import { otherExperts } from "./compare.ts";
import { type Trace, tokenAxis, trace } from "./trace.ts";

/** Lengths at which gpt-oss's bugs hide: one token, the edges of the window of 128, and past the original context of 256. */
const PROMPT_LENGTHS: readonly number[] = [1, 2, 64, 127, 128, 129, 130, 257, 300];

/** What a whole-model check compares with. */
export interface ModelGolden {
  /** Activations of the longest prompt; some are stored for its first tokens only. */
  readonly trace: Trace;
  /** Largest relative rms error that passes at a point. */
  tolerance(point: string): number;
  /** Largest share of (token, rank) pairs that may go to another expert, near ties being decided by rounding; default none. */
  readonly flips?: number;
}

export interface ModelCheckOptions {
  readonly lengths?: readonly number[];
  readonly engine?: EngineOptions["engine"];
}

/**
 * Runs a checkpoint on prefixes of one prompt and compares every stored activation. The model is causal, so that one golden trace serves
 * all prefixes.
 */
export function modelChecks(
  group: string,
  path: string,
  golden: (dialect: DialectName) => Promise<ModelGolden>,
  dialects: readonly DialectName[],
  { lengths = PROMPT_LENGTHS, engine = "reference" }: ModelCheckOptions = {},
): Check[] {
  const label = engine === "simd" ? ", SIMD" : "";
  return dialects.flatMap((dialect) =>
    lengths.map((length) => ({
      group,
      name: `${dialect}${label}, ${length} ${length === 1 ? "token" : "tokens"}`,
      async run() {
        const expected = await golden(dialect);
        const ids = Array.from(expected.trace.get("ids")!.data).slice(0, length);
        await using model = await load(path, { dialect, engine, tokenizer: false });
        return worstPoint(await trace(model.transformer, ids), expected);
      },
    })),
  );
}

function worstPoint(actual: Trace, { trace: golden, tolerance, flips = 0 }: ModelGolden): CheckResult {
  let worst: CheckResult = { error: 0, tolerance: 0, unit: "relative rms" };
  let worstRatio = -1;
  for (const [point, value] of actual) {
    const [all, e] = sharedTokens(point, value, golden.get(point)!);
    const isOther = otherExperts(point, actual, golden);
    const width = value.shape.at(-1)!;
    const a = isOther ? all.map((x, i) => (isOther(Math.floor(i / width)) ? e[i]! : x)) : all;
    const isIds = a instanceof Int32Array;
    const error = isIds ? differing(a, e) : relativeRms(a, e);
    const allowed = !isIds ? tolerance(point) : point === "ids" ? 0 : Math.floor(flips * a.length);
    const ratio = error === 0 ? 0 : error / allowed;
    if (ratio > worstRatio || Number.isNaN(ratio)) {
      worst = {
        error,
        tolerance: allowed,
        unit: isIds ? "differing" : "relative rms",
        detail: `at ${point}`,
      };
      worstRatio = ratio;
    }
  }
  return worst;
}

/** The values of the tokens that both hold; [heads, T, …] activations have their tokens in the second dimension. */
export function sharedTokens(
  point: string,
  a: HostTensor,
  b: HostTensor,
): [HostTensor["data"], HostTensor["data"]] {
  const axis = tokenAxis(point);
  const T = Math.min(a.shape[axis]!, b.shape[axis]!);
  if (axis === 0) {
    const width = a.data.length / a.shape[0]!;
    return [a.data.subarray(0, T * width), b.data.subarray(0, T * width)];
  }
  const keys = a.shape.length === 3 ? T : 1;
  const crop = ({ shape, data }: HostTensor): Float64Array => {
    const [heads, rows, columns = 1] = shape as [number, number, number?];
    const out = new Float64Array(heads * T * keys);
    for (let row = 0; row < heads * T; row++) {
      const from = (Math.floor(row / T) * rows + (row % T)) * columns;
      out.set(data.subarray(from, from + keys), row * keys);
    }
    return out;
  };
  return [crop(a), crop(b)];
}
