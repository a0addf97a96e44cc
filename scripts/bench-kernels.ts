/**
 * Measures the kernels in assembly/, each on data of gpt-oss-20b's size, against a plain read of memory.
 *
 *     npx tsx scripts/bench-kernels.ts [NAME]... [--threads 1,2] [--rounds N] [--json]
 *
 * With two threads, the second one runs the same kernel on data of its own all the while; the figure is twice the first
 * one's speed.
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { Bench as Stopwatch } from "tinybench";
import { attention, dense, LARGE, type Prepare, quantised } from "../dev/cases.ts";
import { Bench, compile, type Kernel, random, randomBytes, randomFloats } from "../dev/compile.ts";

/** Calls that take turns, and the bytes that count: weights (times tokens), or the inputs. */
interface Work {
  readonly bytes: number;
  readonly calls: readonly (readonly number[])[];
}

type Prepared = (bench: Bench, kernels: Record<string, Kernel>) => Work;

/** A kernel on weights that come from memory. */
function weights(prepare: Prepare, order: string): Prepared {
  return (bench, kernels) => {
    const { bytes, matrices, ...made } = prepare(bench, kernels, true);
    const { at, steps } = matrices(order);
    const calls = Array.from({ length: Math.floor(LARGE / steps[0]!) }, (_, i) =>
      made.arguments(
        order,
        at.map((a, part) => a + i * steps[part]!),
      ),
    );
    return { bytes, calls };
  };
}

/** A kernel on activations, which lie in a cache. */
function activations(
  values: number,
  args: (at: (values: number) => number, x: number) => number[],
): Prepared {
  return (bench) => {
    const allocate = (values: number): number => bench.place(randomFloats(values, random(1)));
    return { bytes: values * 4, calls: [args(allocate, allocate(values))] };
  };
}

/** A kernel that brings rows of a file into order: from 4 MB, as a file is read, to memory all over. */
function repack(rowBytes: number, args: (from: number[], groups: number, to: number) => number[]): Prepared {
  return (bench) => {
    const groups = Math.floor((4 * 2 ** 20) / rowBytes / 16);
    const bytes = groups * 16 * rowBytes;
    const from = bench.place(randomBytes(bytes, random(1)));
    const count = Math.ceil(LARGE / bytes);
    const to = bench.place(new Uint8Array(bytes * count).fill(1)); // touched
    const calls = Array.from({ length: count }, (_, i) =>
      args([from, from + rowBytes, 2 * rowBytes], groups, to + i * bytes),
    );
    return { bytes, calls };
  };
}

const TOKENS = 32;
const KEYS = 8192;
const HIDDEN = 2880;
const VOCABULARY = 201088;
const BLOCKS = HIDDEN / 32;

const KERNELS: Readonly<Record<string, Prepared>> = {
  read: (bench) => {
    const bytes = 8 * 2 ** 20;
    const count = LARGE / bytes;
    const at = bench.place(new Uint8Array(LARGE).fill(1));
    return { bytes, calls: Array.from({ length: count }, (_, i) => [at + i * bytes, bytes, at]) };
  },
  matmul_mxfp4_int8: weights(quantised("mxfp4", 8, 0, -12, 1), "8 rows"),
  matmul_mxfp4_int16: weights(quantised("mxfp4", 16, 2, -12, 1), "8 rows"),
  matmul_mxfp4_baseline: weights(quantised("mxfp4", 16, 1, -3084, 1), "8 rows"),
  matmul_q8_0_int16: weights(quantised("q8_0", 16, 1, 0, 1), "8 rows"),
  matmul_mxfp4_int8_2: weights(quantised("mxfp4", 8, 0, -12, 2), "8 rows, in pairs"),
  matmul_mxfp4_int16_2: weights(quantised("mxfp4", 16, 2, -12, 2), "8 rows, in pairs"),
  matmul_bf16: weights(dense("bf16", 1), "16 rows"),
  matmul_f32: weights(dense("f32", 1), "16 rows"),
  matmul_mxfp4_int8_tile: weights(quantised("mxfp4", 8, 0, -12, TOKENS), "8 rows"),
  matmul_mxfp4_tile: weights(quantised("mxfp4", 16, 1, -3084, TOKENS), "8 rows"),
  matmul_q8_0_int16_tile: weights(quantised("q8_0", 16, 1, 0, TOKENS), "8 rows"),
  matmul_bf16_4: weights(dense("bf16", 4), "16 rows"),
  matmul_f32_4: weights(dense("f32", 4), "16 rows"),
  scores_f32: weights(attention("scores", "f32"), "4 keys"),
  scores_bf16: weights(attention("scores", "bf16"), "4 keys"),
  context_f32: weights(attention("context", "f32"), "rows"),
  context_bf16: weights(attention("context", "bf16"), "rows"),
  sink_softmax: activations(KEYS, (at, x) => [x, KEYS, 0, KEYS, 1, at(1)]),
  rms_norm: activations(TOKENS * HIDDEN, (at, x) => [x, at(HIDDEN), x, TOKENS, HIDDEN, 1e-5]),
  rotate: activations(64 * 64, (at, x) => [x, at(32), at(32), at(64 * 64), 64, 32]),
  swiglu: activations(2 * HIDDEN, (at, x) => [x, at(HIDDEN), HIDDEN, 1.702, 7, at(8)]),
  highest: activations(VOCABULARY, (at, x) => [x, VOCABULARY, at(1)]),
  exponentials: activations(VOCABULARY, (at, x) => [x, VOCABULARY, 25, 1, at(VOCABULARY * 2), at(2)]),
  weighted_sum: activations(4 * HIDDEN, (at, x) => [x, at(4), at(HIDDEN), 4, HIDDEN]),
  add: activations(HIDDEN, (at, x) => [x, at(HIDDEN), at(HIDDEN), HIDDEN]),
  quantize: activations(HIDDEN, (at, x) => [x, BLOCKS, 32639, 2, -12, 0.5, at(HIDDEN), at(BLOCKS * 2)]),
  tile: activations((TOKENS * HIDDEN) / 2, (at, x) => {
    const scales = at(TOKENS * BLOCKS * 2);
    return [x, scales, TOKENS, BLOCKS, 64, at((TOKENS * HIDDEN) / 2), at(TOKENS * BLOCKS * 2)];
  }),
  repack_mxfp4: repack(BLOCKS * 17, ([even, odd, step], groups, to) => {
    // the last 17th of the bytes as if they were the scales
    const scales = even! + groups * 16 * BLOCKS * 16;
    const rows = [even!, even! + BLOCKS * 16, BLOCKS * 32, scales, scales + BLOCKS, 2 * BLOCKS];
    return [...rows, groups * 2, BLOCKS, to, to + groups * 16 * BLOCKS * 16, odd!, step!];
  }),
  repack_mxfp4_ggml: repack(BLOCKS * 17, (from, groups, to) => {
    return [...from, groups * 2, BLOCKS, to, to + groups * 16 * BLOCKS * 16];
  }),
  repack_q8_0: repack(BLOCKS * 34, (from, groups, to) => {
    return [...from, groups * 2, BLOCKS, to, to + groups * 16 * BLOCKS * 32];
  }),
  repack_bf16: repack(HIDDEN * 2, (from, groups, to) => [...from, groups, HIDDEN, to]),
  repack_f32: repack(HIDDEN * 4, (from, groups, to) => [...from, groups, HIDDEN, to]),
};

interface Running {
  readonly bytes: number;
  run(): void;
}

function prepare(name: string, module: WebAssembly.Module): Running {
  const bench = new Bench();
  const kernels = bench.instantiate(module);
  const { bytes, calls } = KERNELS[name]!(bench, kernels);
  const kernel = kernels[name]!;
  let turn = 0;
  return { bytes, run: () => kernel(...calls[turn++ % calls.length]!) };
}

interface Companion {
  readonly name: string;
  readonly module: WebAssembly.Module;
  /** Not 0 when the second thread is to go. */
  readonly stop: Int32Array;
}

function startWorker(companion: Companion): Worker {
  // tsx doesn't reach a worker of Node 20 on its own
  const [tsx, self] = [import.meta.resolve("tsx/esm/api"), import.meta.url].map((url) => JSON.stringify(url));
  const code = `import(${tsx}).then(({ register }) => { register(); return import(${self}); })`;
  return new Worker(code, { eval: true, workerData: companion });
}

function accompany({ name, module, stop }: Companion): void {
  const { run } = prepare(name, module);
  parentPort!.postMessage("ready");
  while (Atomics.load(stop, 0) === 0) run();
}

/** @returns GB/s of each round */
async function measure(
  name: string,
  module: WebAssembly.Module,
  threads: number,
  rounds: number,
): Promise<number[]> {
  const { bytes, run } = prepare(name, module);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = threads > 1 && startWorker({ name, module, stop });
  if (worker) await once(worker, "message");
  const stopwatch = new Stopwatch({ time: 50, iterations: 3, warmupTime: 30, warmupIterations: 3 }).add(
    name,
    run,
  );
  const speeds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    stopwatch.reset();
    const [task] = await stopwatch.run();
    if (task?.result.state !== "completed") throw new Error(`${name}: ${task?.result.state}`);
    speeds.push((threads * bytes) / task.result.latency.p50 / 1e6);
  }
  if (worker) {
    Atomics.store(stop, 0, 1);
    await once(worker, "exit");
  }
  return speeds;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      threads: { type: "string", default: "1,2" },
      rounds: { type: "string", default: "5" },
      json: { type: "boolean", default: false },
    },
  });
  const unknown = positionals.find((name) => !(name in KERNELS));
  if (unknown !== undefined) {
    console.error(`no kernel ${unknown}: expected one of ${Object.keys(KERNELS).join(", ")}`);
    process.exit(2);
  }
  const threads = values.threads.split(",").map(Number);
  const module = await compile('export * from "../assembly/relaxed"; export * from "./roof/read";');
  const results: { kernel: string; threads: number; speeds: number[] }[] = [];
  if (!values.json) {
    console.log(`| kernel | ${threads.map((n) => `GB/s, ${n} thread${n > 1 ? "s" : ""}`).join(" | ")} |`);
    console.log(`|---|${"---|".repeat(threads.length)}`);
  }
  for (const name of Object.keys(KERNELS)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const cells: string[] = [];
    for (const n of threads) {
      const speeds = await measure(name, module, n, Number(values.rounds));
      results.push({ kernel: name, threads: n, speeds });
      const sorted = speeds.toSorted((a, b) => a - b);
      const [low, middle, high] = [sorted[0]!, sorted[sorted.length >> 1]!, sorted.at(-1)!];
      cells.push(`${middle.toFixed(1)} (${low.toFixed(1)}–${high.toFixed(1)})`);
    }
    if (!values.json) console.log(`| ${[name, ...cells].join(" | ")} |`);
  }
  if (values.json) console.log(JSON.stringify({ runtime: `Node ${process.version}`, results }, null, 2));
}

if (isMainThread) await main();
else accompany(workerData as Companion);
