/** The ladders: of each hot kernel its versions, from the first try to the one in assembly/. */
import { attention, type Case, dense, LARGE, type Prepare, quantised } from "./cases.ts";
import { Bench, compile, type Kernel } from "./compile.ts";

export interface Ladder {
  readonly kernel: string;
  /** Rungs by file name, with the order of weights that each reads. */
  readonly rungs: Readonly<Record<string, string>>;
  /** Relative to the largest result, for rungs that add up in another order than the dialects do; the others must be exact. */
  readonly tolerance?: Readonly<Record<string, number>>;
  readonly prepare: Prepare;
}

export const LADDERS: readonly Ladder[] = [
  {
    kernel: "mxfp4-int8",
    rungs: {
      "1-scalar": "rows",
      "2-row-major": "rows",
      "3-interleaved": "4 rows",
      "4-hoisted": "4 rows",
      "5-int16-sums": "4 rows",
      "6-two-streams": "4 rows",
      "7-one-stream": "8 rows",
      "8-four-streams": "8 rows",
    },
    prepare: quantised("mxfp4", 8, 0, -12, 1),
  },
  {
    kernel: "mxfp4-int16",
    rungs: {
      "1-scalar": "rows",
      "2-interleaved": "4 rows",
      "3-int16-sums": "4 rows",
      "4-eight-rows": "8 rows",
      "5-four-streams": "8 rows",
    },
    prepare: quantised("mxfp4", 16, 2, -12, 1),
  },
  {
    kernel: "mxfp4-baseline",
    rungs: {
      "1-scalar": "rows",
      "2-row-major": "rows",
      "3-interleaved": "4 rows",
      "4-hoisted": "4 rows",
      "5-shifted": "4 rows",
      "6-eight-rows": "8 rows",
      "7-four-streams": "8 rows",
    },
    prepare: quantised("mxfp4", 16, 1, -3084, 1),
  },
  {
    kernel: "q8_0-int16",
    rungs: {
      "1-scalar": "rows",
      "2-row-major": "rows",
      "3-interleaved": "4 rows",
      "4-eight-rows": "8 rows",
      "5-four-streams": "8 rows",
    },
    prepare: quantised("q8_0", 16, 1, 0, 1),
  },
  {
    kernel: "bf16-f32",
    rungs: {
      "1-scalar": "rows",
      "2-row-major": "rows",
      "3-interleaved": "4 rows",
      "4-sixteen-rows": "16 rows",
      "5-four-streams": "16 rows",
    },
    // 16 sums of float32 products instead of one for each 32: either is off by some 2^−24 of the largest partial sum a step
    tolerance: { "2-row-major": 2 ** -19 },
    prepare: dense("bf16", 1),
  },
  {
    kernel: "mxfp4-int8-tile",
    rungs: {
      "1-token-by-token": "8 rows, token by token",
      "2-four-by-four": "8 rows",
      "3-weights-in-registers": "8 rows",
      "4-int16-sums": "8 rows",
      "5-through-memory": "8 rows",
    },
    prepare: quantised("mxfp4", 8, 0, -12, 32),
  },
  {
    kernel: "mxfp4-int16-tile",
    rungs: { "1-weights-in-registers": "8 rows", "2-through-memory": "8 rows" },
    prepare: quantised("mxfp4", 16, 1, -3084, 32),
  },
  {
    kernel: "scores",
    rungs: { "1-scalar": "rows", "2-interleaved": "4 keys", "3-four-heads": "4 keys" },
    prepare: attention("scores", "f32"),
  },
  {
    kernel: "context",
    rungs: { "1-scalar": "rows", "2-row-major": "rows", "3-four-heads": "rows", "4-touched-ahead": "rows" },
    prepare: attention("context", "f32"),
  },
];

export interface Rung {
  readonly name: string;
  /** Calls it, on another matrix each time. */
  run(): void;
}

export interface Climb {
  readonly bench: Bench;
  /** Reads as many bytes as a rung does at least, from memory. */
  roof(): void;
  readonly roofBytes: number;
  readonly rungBytes: number;
  readonly rungs: readonly Rung[];
}

/** Compiles all rungs of the ladders, with the kernels that are in production, into one module. */
export function compileLadders(ladders: readonly Ladder[]): Promise<WebAssembly.Module> {
  const lines = ladders.flatMap(({ kernel, rungs }) =>
    Object.keys(rungs).map((name) => {
      const entry = kernel === "scores" || kernel === "context" ? kernel : "multiply";
      return `export { ${entry} as ${exportName(kernel, name)} } from "./${kernel}/${name}";`;
    }),
  );
  return compile(
    ['export * from "../assembly/relaxed";', 'export * from "./roof/read";', ...lines].join("\n"),
  );
}

function exportName(kernel: string, rung: string): string {
  return `${kernel}__${rung}`.replaceAll("-", "_");
}

/** @throws Error if a rung is off by more than it may */
export function check(ladder: Ladder, module: WebAssembly.Module): void {
  const bench = new Bench();
  const kernels = bench.instantiate(module);
  const made = ladder.prepare(bench, kernels, false);
  for (const [rung, order] of Object.entries(ladder.rungs)) {
    const kernel = kernels[exportName(ladder.kernel, rung)]!;
    compare(`${ladder.kernel}/${rung}`, kernel, bench, made, order, ladder.tolerance?.[rung]);
  }
}

/** @throws Error if a kernel's result isn't the reference's */
export function compare(
  name: string,
  kernel: Kernel,
  bench: Bench,
  { matrices, result, expected, ...made }: Case,
  order: string,
  tolerance = 0,
): void {
  const wanted = expected();
  const largest = wanted.reduce((max, x) => Math.max(max, Math.abs(x) || 0), 0);
  bench.floats(result, wanted.length).fill(Number.NaN);
  kernel(...made.arguments(order, matrices(order).at));
  for (const [i, found] of bench.floats(result, wanted.length).entries()) {
    if (Number.isNaN(wanted[i]!) || Math.abs(found - wanted[i]!) <= tolerance * largest) continue;
    throw new Error(`${name}: expected ${wanted[i]} at ${i}, found ${found}`);
  }
}

/** A ladder on matrices that no cache holds. */
export function prepareClimb(ladder: Ladder, module: WebAssembly.Module): Climb {
  const bench = new Bench();
  const kernels = bench.instantiate(module);
  const { bytes, matrices, ...made } = ladder.prepare(bench, kernels, true);
  let turn = 0;
  const rungs = Object.entries(ladder.rungs).map(([name, order]) => {
    const kernel = kernels[exportName(ladder.kernel, name)]!;
    const { at, steps } = matrices(order);
    const count = Math.floor(LARGE / steps[0]!);
    const calls = Array.from({ length: count }, (_, i) =>
      made.arguments(
        order,
        at.map((a, part) => a + i * steps[part]!),
      ),
    );
    return { name, run: () => kernel(...calls[turn++ % count]!) };
  });
  const [read, to, first] = [kernels["read"]!, bench.allocate(16), matrices(Object.values(ladder.rungs)[0]!)];
  const roofBytes = Math.floor(first.steps[0]! / 64) * 64;
  const count = Math.floor(LARGE / roofBytes);
  const roof = (): void => read(first.at[0]! + (turn++ % count) * roofBytes, roofBytes, to);
  return { bench, roof, roofBytes, rungBytes: bytes, rungs };
}
