import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { type Comparison, compare, diverges, noiseFloor, type PointDistance } from "../oracle/compare.ts";
import { readTrace } from "../oracle/trace-file.ts";
import { number } from "./arguments.ts";
import { table } from "./terminal.ts";

export function register(program: Command): void {
  program
    .command("compare")
    .description("compare two traces point by point; exit status 1 when they differ beyond the noise floor")
    .argument("<a>", "trace to judge")
    .argument("<b>", "trace to judge it by")
    .option(
      "--floor <x>",
      "relative rms error that passes (default: by the dialects of both)",
      number(0, 1e9),
    )
    .option("--all", "list every point, not the divergent ones and a sample")
    .option("--json", "print the comparison as JSON")
    .action(run);
}

async function run(
  a: string,
  b: string,
  options: { floor?: number; all?: boolean; json?: boolean },
): Promise<void> {
  const [traceA, traceB] = [await readTrace(a), await readTrace(b)];
  const floor = options.floor ?? noiseFloor(dialectOf(traceA.metadata), dialectOf(traceB.metadata));
  const comparison = compare(traceA.trace, traceB.trace, floor);
  if (comparison.points.length === 0) {
    throw new UsageError("the files share no trace point", { where: `${a}, ${b}` });
  }
  console.log(options.json ? JSON.stringify(comparison) : report(comparison, options.all ?? false));
  if (comparison.firstDivergence) process.exitCode = 1;
}

/** Our traces say `dialect`, those of scripts/golden/capture.py the precision that they were computed in. */
function dialectOf(metadata: ReadonlyMap<string, string>): string | undefined {
  return metadata.get("dialect") ?? DIALECT_OF_DTYPE.get(metadata.get("dtype") ?? "");
}

const DIALECT_OF_DTYPE: ReadonlyMap<string, string> = new Map([
  ["float64", "f64"],
  ["float32", "f32"],
  ["bfloat16", "bf16-hf"],
]);

function report(comparison: Comparison, all: boolean): string {
  const { points, floor, firstDivergence, meanKl, top1Agreement, onlyInA, onlyInB } = comparison;
  const shown = all ? points : points.filter((point) => diverges(point) || SUMMARY.test(point.point));
  const lines = [table(["point", "#relative rms", "#max", "#cosine", "verdict"], shown.map(row)), ""];
  if (meanKl !== undefined && top1Agreement !== undefined) {
    const agreement = `${(100 * top1Agreement).toFixed(2)} %`;
    lines.push(
      `logits: mean KL ${meanKl.toExponential(2)} nats, same most probable token at ${agreement} of tokens`,
    );
  }
  for (const [file, names] of [
    ["first", onlyInA],
    ["second", onlyInB],
  ] as const) {
    if (names.length > 0) lines.push(`only in the ${file} trace: ${names.length} points (${names[0]}, …)`);
  }
  lines.push(
    firstDivergence
      ? `First divergence: ${firstDivergence.point}, ${firstDivergence.mismatch ?? `token ${firstDivergence.firstToken}`}`
      : `No divergence: all ${points.length} points within ${floor} relative rms.`,
  );
  return lines.join("\n");
}

/** Points that tell how errors grow through the model. */
const SUMMARY = /^(ids|embedding|norm|logits)$|\.residual$/;

function row(point: PointDistance): string[] {
  if (point.mismatch) return [point.point, "", "", "", point.mismatch];
  const verdict = point.firstToken === undefined ? "ok" : `differs from token ${point.firstToken}`;
  if (point.flips !== undefined)
    return [point.point, "", "", "", point.flips ? `${verdict} (${point.flips} differ)` : "ok"];
  const { relativeRms, maxAbsolute, cosine } = point;
  return [
    point.point,
    relativeRms.toExponential(2),
    maxAbsolute.toExponential(2),
    cosine.toFixed(7),
    verdict,
  ];
}
