/**
 * Checks and measures the ladders, one thread on weights that no cache holds.
 *
 *     npx tsx dev/run.ts [KERNEL]... [--rounds N] [--json]
 */
import { parseArgs } from "node:util";
import { Bench as Stopwatch } from "tinybench";
import { check, compileLadders, LADDERS, type Ladder, prepareClimb } from "./ladders.ts";

interface Row {
  readonly kernel: string;
  readonly rung: string;
  /** GB/s of weights in each round. */
  readonly speeds: readonly number[];
}

/** Rungs take turns round by round, since the bandwidth of a virtual machine changes from minute to minute. */
async function measure(ladder: Ladder, module: WebAssembly.Module, rounds: number): Promise<Row[]> {
  const climb = prepareClimb(ladder, module);
  const stopwatch = new Stopwatch({ time: 60, iterations: 3, warmupTime: 30, warmupIterations: 2 });
  stopwatch.add("roof", climb.roof);
  for (const { name, run } of climb.rungs) stopwatch.add(name, run);
  const speeds = new Map<string, number[]>(stopwatch.tasks.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    stopwatch.reset();
    for (const { name, result } of await stopwatch.run()) {
      if (result.state !== "completed") throw new Error(`${ladder.kernel}/${name}: ${result.state}`);
      const bytes = name === "roof" ? climb.roofBytes : climb.rungBytes;
      speeds.get(name)!.push(bytes / result.latency.p50 / 1e6);
    }
  }
  return [...speeds].map(([rung, speeds]) => ({ kernel: ladder.kernel, rung, speeds }));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** Of ratios within a round. */
function ratio(a: Row, b: Row): number {
  return median(a.speeds.map((speed, round) => speed / b.speeds[round]!));
}

function print(rows: readonly Row[]): void {
  const [roof, ...rungs] = rows as [Row, ...Row[]];
  console.log(
    `\n| ${roof.kernel} | GB/s | min–max | × the one before | of the roof |\n|---|---|---|---|---|`,
  );
  const show = (row: Row, ...more: string[]): void => {
    const sorted = row.speeds.map((speed) => speed.toFixed(1)).sort((a, b) => Number(a) - Number(b));
    console.log(
      `| ${[row.rung, median(row.speeds).toFixed(1), `${sorted[0]}–${sorted.at(-1)}`, ...more].join(" | ")} |`,
    );
  };
  for (const [i, row] of rungs.entries()) {
    const before = rungs[i - 1];
    const share = `${Math.round(100 * ratio(row, roof))} %`;
    show(row, before ? `${ratio(row, before).toFixed(2)}` : "", share);
  }
  show(roof, "", "");
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "5" }, json: { type: "boolean", default: false } },
});
const unknown = positionals.find((name) => !LADDERS.some(({ kernel }) => kernel === name));
if (unknown !== undefined) {
  console.error(`no ladder ${unknown}: expected one of ${LADDERS.map(({ kernel }) => kernel).join(", ")}`);
  process.exit(2);
}
const chosen = LADDERS.filter(({ kernel }) => positionals.length === 0 || positionals.includes(kernel));
const module = await compileLadders(chosen);
for (const ladder of chosen) check(ladder, module);
const results: Row[] = [];
for (const ladder of chosen) {
  const rows = await measure(ladder, module, Number(values.rounds));
  if (values.json) results.push(...rows);
  else print(rows);
}
if (values.json) console.log(JSON.stringify({ runtime: `Node ${process.version}`, results }, null, 2));
