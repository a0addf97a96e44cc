import type { HostTensor } from "../engine/ops.ts";
import type { PointDistance } from "./compare.ts";
import type { SampledTensor } from "./formats/sampled.ts";
import type { PointFloor } from "./noise-floor.ts";
import type { Pairs } from "./pairs.ts";

/** Whether A is a multiple of B, or B and the same vector at every token. */
export function explain(
  a: HostTensor["data"],
  b: HostTensor,
  { runs }: Pairs,
  { point }: PointDistance,
): Partial<PointDistance> {
  if (point.endsWith("scores")) {
    const scale = fit(a, b, runs, false);
    return scale.left < scale.error / 10 ? { factor: scale.factor } : {};
  }
  const scale = fit(a, b, runs, true);
  return {
    ...(scale.left < scale.error / 10 && { factor: scale.factor }),
    ...(scale.offset > 0.9 * scale.error && { offset: true }),
  };
}

/** Least squares: the factor, what it leaves of the error, and what one vector added at every token explains. */
function fit(a: HostTensor["data"], b: HostTensor, runs: Pairs["runs"], offsets: boolean) {
  let [ab, aa, bb, error, count] = [0, 0, 0, 0, 0];
  const width = b.data.length / b.shape[0]!;
  const means = new Float64Array(offsets && width <= 2 ** 16 ? width : 0);
  for (const run of runs()) {
    if (run.length === means.length) count++;
    for (let j = 0; j < run.length; j++) {
      const [x, y] = [a[run.a + j]!, b.data[run.b + j]!];
      if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
      ab += x * y;
      aa += x * x;
      bb += y * y;
      error += (x - y) ** 2;
      if (run.length === means.length) means[j]! += x - y;
    }
  }
  const factor = bb > 0 ? ab / bb : 1;
  const offset = count < 3 ? 0 : means.reduce((sum, mean) => sum + mean * mean, 0) / count;
  return { factor, left: aa - factor * ab, error, offset };
}

/**
 * The printed sum, which was added in float32. Within the floor no error's rms is above floor · rms(b), hence the sum's, by Cauchy and
 * Schwarz, not above that times the number of values.
 */
export function sumFits(
  { sum, firstToken, shape }: SampledTensor,
  b: HostTensor["data"],
  floor: PointFloor,
): boolean {
  const from = (firstToken * b.length) / shape[0]!;
  let [total, squares, magnitude] = [0, 0, 0];
  for (let i = from; i < b.length; i++) {
    total += b[i]!;
    squares += b[i]! * b[i]!;
    magnitude = Math.max(magnitude, Math.abs(total));
  }
  const count = b.length - from;
  const rms = Math.sqrt(squares / Math.max(1, count));
  const relative = Number.isFinite(floor.clean) ? Math.max(floor.clean, floor.downstream) : floor.median;
  return Math.abs(sum! - total) <= count * (relative * rms + 2 ** -24 * (magnitude + rms)) + 1e-6;
}
