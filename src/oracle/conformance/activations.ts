import type { HostTensor } from "../../engine/ops.ts";
import { sharedTokens } from "../check-model.ts";
import { type CheckResult, differing, relativeRms } from "../checks.ts";
import { otherExperts } from "../compare.ts";
import { type Trace, tokenAxis, tracePoints } from "../trace.ts";
import { activationHint, looser, roundingHint } from "./hints.ts";
import type { Activation } from "./runtime.ts";
import { check, type LevelOutcome, type Suite, strayOf } from "./suite.ts";

/** Traces are stored in float32. */
const STORED = 1e-7;

/** Level 2: each activation of the prompt that the runtime has, in forward order, against float64. */
export async function checkActivations(suite: Suite): Promise<LevelOutcome> {
  const { runtime, goldens } = suite;
  const [ids, truth] = [await goldens.ids(), await goldens.truth()];
  const checks: LevelOutcome["checks"] = [];
  const trace = new Map<string, HostTensor>();
  const names = tracePoints(2);
  await check(suite, checks, "a trace of 300 tokens", async () => {
    for (const [point, value] of await runtime.trace!(ids))
      if (truth.has(point)) trace.set(point, hostTensor(point, value));
    const known = names.filter((name) => trace.has(name)).length;
    if (known === 0)
      throw new Error("no activation has a known name, such as embedding or layers.0.attn.norm");
    return { error: 0, tolerance: 0, unit: "differing", detail: `${known} of ${names.length} points` };
  });
  for (const point of names.filter((name) => trace.has(name)))
    await check(suite, checks, point, async () => comparePoint(suite, point, trace, truth));
  const wrong = checks.find(({ passed }) => !passed);
  if (!wrong) return { checks };
  const { factor, precisions } = suite.tolerances;
  const rounding = looser(suite.precision, (name) =>
    checks.every(
      ({ passed, name: point, error }) =>
        passed || error <= factor * (precisions[name].points[group(point)] ?? Number.POSITIVE_INFINITY),
    ),
  );
  const hint = activationHint(wrong.name);
  return { checks, ...(hint && { hint: roundingHint(rounding, suite.precision) + hint }) };
}

function comparePoint(suite: Suite, point: string, trace: Trace, truth: Trace): CheckResult {
  const [mine, theirs] = [trace.get(point)!, truth.get(point)!];
  // scores and weights are [heads, T, T], the sink [heads, T], all others [T, …]
  const fixed = ({ shape }: HostTensor) =>
    (tokenAxis(point) === 1 ? shape.slice(0, 1) : shape.slice(1)).join();
  if (mine.shape.length !== theirs.shape.length || fixed(mine) !== fixed(theirs))
    throw new Error(`shape [${mine.shape.join(", ")}], expected [${theirs.shape.join(", ")}]`);
  const tokens = mine.shape[tokenAxis(point)]!;
  if (tokens === 0) throw new Error("no tokens");
  const fewer = tokens < theirs.shape[tokenAxis(point)]!;
  const [a, b] = sharedTokens(point, mine, theirs);
  const { factor } = suite.tolerances;
  if (point.endsWith("expert_ids"))
    return compareExperts(a, b, factor * strayOf(suite).pairs_differ, mine.shape[1]!);
  const isOther = otherExperts(point, trace, truth);
  const width = mine.shape.at(-1)!;
  const compared = isOther ? a.map((x, i) => (isOther(Math.floor(i / width)) ? b[i]! : x)) : a;
  const limit = strayOf(suite).points[group(point)]!;
  const error = relativeRms(compared, b);
  const masks = point.endsWith(".scores") && !Number.isFinite(error);
  return {
    error,
    tolerance: factor * Math.max(limit, STORED),
    unit: "relative rms",
    ...(fewer && { detail: `${tokens} tokens, taken for the first ones` }),
    ...(masks && { detail: "masked at other places" }),
  };
}

/** A point's name within its layer. */
function group(point: string): string {
  return point.replace(/^layers\.\d+\./, "");
}

/** Counts (token, rank) pairs with another expert. */
function compareExperts(a: HostTensor["data"], b: HostTensor["data"], share: number, k: number): CheckResult {
  const error = differing(a, b);
  const sorted = (ids: HostTensor["data"], t: number): string =>
    [...ids.subarray(t, t + k)].sort((x, y) => x - y).join();
  const sameSets =
    error > 0 &&
    Array.from({ length: a.length / k }, (_, t) => t * k).every((t) => sorted(a, t) === sorted(b, t));
  const detail = sameSets
    ? { detail: "the same experts in another order: ranks go by falling router logit" }
    : {};
  return { error, tolerance: Math.floor(share * a.length), unit: "differing", ...detail };
}

function hostTensor(point: string, { shape, data }: Activation): HostTensor {
  const size = shape.reduce((a, b) => a * b, 1);
  if (!shape.every((n) => Number.isSafeInteger(n) && n >= 0) || size !== data.length)
    throw new Error(`${point}: ${data.length} values for the shape [${shape.join(", ")}]`);
  if (point.endsWith("expert_ids")) return { shape: [...shape], data: Int32Array.from(data) };
  // masked places are −∞, whatever finite number stands for it
  const value = point.endsWith(".scores")
    ? (x: number) => (x < -1e4 ? Number.NEGATIVE_INFINITY : x)
    : (x: number) => x;
  return { shape: [...shape], data: Float64Array.from(data, value) };
}
