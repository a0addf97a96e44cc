import type { WeightRole, WeightSource } from "../checkpoint/weights.ts";
import type { RopeConfig } from "../config.ts";
import type { Awaitable, HostTensor, Ops, Tensor, Weight } from "../engine/ops.ts";
import { concentration, inverseFrequencies, ropeTable } from "../model/rope.ts";
import { DIALECTS, type DialectName } from "../numerics/dialects.ts";
import { cos, exp, log, pow, sin } from "../numerics/elementary.ts";
import { expFloat32 } from "../numerics/exp-float32.ts";
import { dequantizeMxfp4 } from "../numerics/mxfp4.ts";
import { dequantizeQ8_0, quantizeQ8_0 } from "../numerics/q8-0.ts";
import { type Check, differing, maxFloat32Ulps, maxRelative, relativeRms } from "./checks.ts";
import type { Trace } from "./trace.ts";

/** Makes an engine for one check, which closes it. */
export type EngineFactory = (dialect: DialectName) => Awaitable<Ops>;

/** Reads one file of golden/ops: its tensors by name. */
export type OpVectors = (file: string) => Promise<Trace>;

/**
 * Errors that each dialect may show against PyTorch. float64 leaves the order of sums; float32 that and, in the
 * RoPE tables, PyTorch's own last bit of pow, sin and cos; bf16 a rare value that rounds to the other side. int16 and int8
 * are float32 but for products with quantised weights; their exponential errs by less than 1 ulp, 1.2e-7.
 */
const TOLERANCE: Readonly<Record<DialectName, number>> = {
  f64: 1e-13,
  f32: 1e-6,
  "bf16-openai": 2e-4,
  "bf16-hf": 2e-4,
  int16: 1e-6,
  int8: 1e-6,
};

/**
 * The same for products with quantised weights. Rounding x to steps of max|x| / 32639 makes an error of 1/√12 of a step, which is
 * largest beside the rms of x where one value is all of its block: √(32/12) / 32639. Products keep the ratio, bar luck.
 */
const QUANTISED_TOLERANCE: Readonly<Record<DialectName, number>> = {
  ...TOLERANCE,
  int16: 5e-5,
  int8: 1.3e-2,
};

const DIALECT_NAMES = Object.keys(TOLERANCE) as DialectName[];

/** Compares the numerics below the operations with vectors from PyTorch and mpmath. */
export function numericsChecks(vectors: OpVectors): Check[] {
  return [...mathChecks(vectors), ...formatChecks(vectors), ...ropeTableChecks(vectors)];
}

/**
 * Compares an engine's operations with vectors from PyTorch.
 *
 * @param label follows the names of the checks, to tell engines apart
 * @param dialects those that the engine follows
 */
export function opChecks(
  engine: EngineFactory,
  vectors: OpVectors,
  label = "",
  dialects: readonly DialectName[] = DIALECT_NAMES,
): Check[] {
  return dialects.flatMap((dialect) => dialectChecks(engine, dialect, vectors, label));
}

/** exp, log, sin, cos, pow against 300 bits of mpmath; expFloat32 against the same steps in numpy. */
function mathChecks(vectors: OpVectors): Check[] {
  const functions: Record<string, (x: number, e: number) => number> = { exp, log, sin, cos, pow };
  const group = "elementary functions";
  const inSingleSteps: Check = {
    group,
    name: "expFloat32",
    async run() {
      const set = await vectors("exp-float32");
      const error = differing(Float32Array.from(set.get("x")!.data, expFloat32), set.get("y")!.data);
      return { error, tolerance: 0, unit: "differing" };
    },
  };
  const checks = Object.entries(functions).map(
    ([name, fn]): Check => ({
      group,
      name,
      async run() {
        const set = await vectors("math-functions");
        const e = set.get(`${name}.e`)?.data;
        const actual = Float64Array.from(set.get(`${name}.x`)!.data, (x, i) => fn(x, e?.[i] ?? 0));
        // correctly rounded float64 values differ from the exact ones by 2^-30 ulp of float32
        return {
          error: maxFloat32Ulps(actual, set.get(`${name}.y`)!.data),
          tolerance: 0.01,
          unit: "float32 ulp",
        };
      },
    }),
  );
  return [...checks, inSingleSteps];
}

/** Every FP4 code under every scale, and whole blocks. Dequantised values are exact: not one bit may differ. */
function formatChecks(vectors: OpVectors): Check[] {
  const check = (
    name: string,
    file: string,
    run: (golden: Trace) => { actual: Float32Array; expected: HostTensor["data"] },
  ): Check => ({
    group: "number formats",
    name,
    async run() {
      const { actual, expected } = run(await vectors(file));
      return { error: differing(actual, expected), tolerance: 0, unit: "differing" };
    },
  });
  const bytes = (golden: Trace, name: string): Uint8Array => Uint8Array.from(golden.get(name)!.data);
  return [
    check("MXFP4: 255 scales × 256 bytes", "mxfp4", (golden) => {
      const table = golden.get("table.f32")!.data; // [scales, 16 codes]; 255 is NaN here, as the standard says
      const blocks = Uint8Array.from({ length: 255 * 256 }, (_, i) => i & 255);
      const scales = Uint8Array.from({ length: (255 * 256) / 16 }, (_, block) => block >> 4);
      const expected = new Float32Array(2 * blocks.length);
      for (const [i, byte] of blocks.entries()) {
        expected[2 * i] = table[(i >> 8) * 16 + (byte & 15)]!; // low nibble first
        expected[2 * i + 1] = table[(i >> 8) * 16 + (byte >> 4)]!;
      }
      const actual = new Float32Array(expected.length);
      dequantizeMxfp4(blocks, scales, actual);
      return { actual, expected };
    }),
    check("MXFP4: blocks", "mxfp4", (golden) => {
      const expected = golden.get("example.openai")!.data;
      const actual = new Float32Array(expected.length);
      dequantizeMxfp4(bytes(golden, "example.blocks"), bytes(golden, "example.scales"), actual);
      return { actual, expected };
    }),
    check("Q8_0: blocks", "gguf-blocks", (golden) => {
      const expected = golden.get("q8_0.f32")!.data;
      const actual = new Float32Array(expected.length);
      dequantizeQ8_0(bytes(golden, "q8_0.bytes"), actual);
      return { actual, expected };
    }),
    check("Q8_0: quantised", "q8-0-quantise", (golden) => {
      const expected = golden.get("f32.bytes")!.data;
      const actual = new Uint8Array(expected.length);
      quantizeQ8_0(Float32Array.from(golden.get("f32.x")!.data), actual);
      return { actual: Float32Array.from(actual), expected };
    }),
  ];
}

const ROPE_SETS: Readonly<Record<string, { headDim: number; rope: RopeConfig }>> = {
  "20b": { headDim: 64, rope: ropeConfig(150000, 4096, 32, false) },
  "20b-truncate": { headDim: 64, rope: ropeConfig(150000, 4096, 32, true) },
  small: { headDim: 16, rope: ropeConfig(10000, 256, 32, false) },
  factor1: { headDim: 64, rope: ropeConfig(150000, 4096, 1, false) },
};

function ropeConfig(
  theta: number,
  originalContextLength: number,
  factor: number,
  truncate: boolean,
): RopeConfig {
  return { theta, factor, betaFast: 32, betaSlow: 1, originalContextLength, truncate };
}

function ropeTableChecks(vectors: OpVectors): Check[] {
  return Object.entries(ROPE_SETS).flatMap(([set, { headDim, rope }]) =>
    (["f64", "f32"] as const).flatMap((precision): Check[] => {
      const wide = precision === "f64" ? (x: number): number => x : Math.fround;
      const frequencies = inverseFrequencies(rope, headDim, wide);
      const check = (name: string, actual: (golden: Trace) => Float64Array): Check => ({
        group: "YaRN",
        name: `${set} ${name} ${precision}`,
        async run() {
          const golden = await vectors("yarn");
          const expected = golden.get(
            name === "concentration" ? `${set}.${name}` : `${set}.${name}.${precision}`,
          )!;
          // at position 131071 an angle's own last bit is worth 0.008 of float32 radians, 1.5e-11 of float64
          const tolerance = name === "inv_freq" || name === "concentration" ? 1e-7 : 2e-3;
          const scale = precision === "f64" ? 1e-7 : 1;
          return {
            error: relativeRms(actual(golden), expected.data),
            tolerance: tolerance * scale,
            unit: "relative rms",
          };
        },
      });
      const table =
        (part: "cos" | "sin") =>
        (golden: Trace): Float64Array => {
          const rows = Array.from(golden.get("positions")!.data, (position) =>
            ropeTable(frequencies, rope, [position], { round: wide, wide }),
          );
          return Float64Array.from(rows.flatMap((row) => [...row[part]]));
        };
      const checks = [
        check("inv_freq", () => frequencies),
        check("cos", table("cos")),
        check("sin", table("sin")),
      ];
      return precision === "f64"
        ? [...checks, check("concentration", () => Float64Array.of(concentration(rope)))]
        : checks;
    }),
  );
}

function dialectChecks(
  engine: EngineFactory,
  dialect: DialectName,
  vectors: OpVectors,
  label: string,
): Check[] {
  const { activationBits, breaksTiesLikeTorch, round } = DIALECTS[dialect];
  const suffix = activationBits ? "f32" : dialect.replace("-", "_");
  const check = (
    group: string,
    file: string,
    name: string,
    run: (ops: Ops, golden: Trace) => Promise<HostTensor["data"]>,
    expectedName = `${name}.${suffix}`,
    elementwise = false, // where values of all magnitudes count, and none is a difference of larger ones
    tolerance = TOLERANCE[dialect],
  ): Check => ({
    group,
    name: `${name} ${dialect}${label}`,
    async run() {
      const golden = await vectors(file);
      const measure = elementwise ? maxRelative : relativeRms;
      const actual = await withEngine(engine, dialect, (ops) => run(ops, golden));
      const error = measure(actual, golden.get(expectedName)!.data);
      return { error, tolerance, unit: elementwise ? "max relative" : "relative rms" };
    },
  });

  const values = (ops: Ops, golden: Trace, name: string): Tensor => ops.write(golden.get(name)!);
  const weight = (ops: Ops, golden: Trace, name: string, role: WeightRole = "vector"): Promise<Weight> =>
    ops.loadWeight(sourceOf(name, golden.get(name)!), role);

  return [
    ...["h64", "h90", "h2880"].map((set) =>
      check(
        "RMSNorm",
        "rms-norm",
        set,
        async (ops, golden) => {
          const x = values(ops, golden, `${set}.x`);
          return ops.read(await ops.rmsNorm(x, await weight(ops, golden, `${set}.w`), 1e-5)).data;
        },
        `${set}.${suffix}`,
        true,
      ),
    ),
    ...["t1k64n12", "t3k2880n7", "t5k90n33"].map((set) =>
      check(
        "linear",
        "linear",
        set,
        async (ops, golden) => {
          const w = await weight(ops, golden, `${set}.w`, "matrix");
          const b = await weight(ops, golden, `${set}.b`);
          return ops.read(await ops.linear(values(ops, golden, `${set}.x`), w, b)).data;
        },
        `${set}.${suffix.replace("bf16_hf", "bf16_openai")}`, // both packages call the same function
      ),
    ),
    ...["q8_0", "mxfp4"].flatMap((set): Check[] => {
      const product = async (ops: Ops, golden: Trace): Promise<HostTensor["data"]> => {
        const x = values(ops, golden, "x");
        const bias = await weight(ops, golden, `${set}.b`);
        if (set === "q8_0") {
          const w = await ops.loadWeight(q8_0Source(golden.get("q8_0.bytes")!), "matrix");
          return ops.read(await ops.linear(x, w, bias)).data;
        }
        const w = await ops.loadWeight(
          mxfp4Source(golden.get("mxfp4.blocks")!, golden.get("mxfp4.scales")!),
          "experts",
        );
        return ops.read(await ops.expertLinear(x, values(ops, golden, "mxfp4.ids"), w, bias)).data;
      };
      const [group, file] = ["quantised linear", "quantised-linear"];
      const expected = `${set}.${suffix.replace("bf16_hf", "bf16_openai")}`;
      const near = check(group, file, set, product, expected, false, QUANTISED_TOLERANCE[dialect]);
      if (!activationBits) return [near];
      // these dialects' own steps, taken by numpy: not one bit may differ
      return [near, check(group, file, `${set} bits`, product, `${set}.${dialect}`, true, 0)];
    }),
    ...["20b", "small"].map((set) =>
      check("RoPE", "rope", set, async (ops, golden) => {
        const tables = await vectors("yarn");
        const precision = dialect === "f64" ? "f64" : "f32";
        const part = (name: string): Float64Array =>
          Float64Array.from(tables.get(`${set}.${name}.${precision}`)!.data, round);
        return ops.read(
          await ops.rotate(values(ops, golden, `${set}.x`), { cos: part("cos"), sin: part("sin") }),
        ).data;
      }),
    ),
    ...["d16.w0", "d16.w1", "d16.w8", "d16.w19", "d16.w20", "d16.w32", "d24.w0", "d24.w8"].flatMap((set) =>
      ["weights", "sink", "context"].map((part) =>
        check("sink attention", "attention", `${set}.${part}`, async (ops, golden) => {
          const [size, window] = set.split(".w") as [string, string];
          return (await attention(ops, golden, `${size}.`, Number(window)))[part]!;
        }),
      ),
    ),
    ...(activationBits ? attentionBits(engine, dialect, vectors, label) : []),
    ...["e8k4", "e32k4", "e128k4", "e3k2", "e5k1"].flatMap((set): Check[] => {
      const route = async (ops: Ops, golden: Trace): Promise<{ ids: Tensor; weights: Tensor }> => {
        const logits = values(ops, golden, `${set}.logits`);
        const ids = await ops.topK(logits, golden.get(`${set}.ids`)!.shape[1]!);
        return { ids, weights: await ops.softmax(await ops.gather(logits, ids)) };
      };
      const idsName = breaksTiesLikeTorch ? "topk_ids" : "ids";
      return [
        {
          group: "router",
          name: `${set} ids ${dialect}${label}`,
          async run() {
            const golden = await vectors("router");
            const ids = await withEngine(engine, dialect, async (ops) =>
              ops.read((await route(ops, golden)).ids),
            );
            const error = differing(ids.data, golden.get(`${set}.${idsName}`)!.data);
            return { error, tolerance: 0, unit: "differing" };
          },
        },
        check(
          "router",
          "router",
          `${set}.weights`,
          async (ops, golden) => ops.read((await route(ops, golden)).weights).data,
          `${set}.weights.${suffix.replace("bf16_hf", "bf16_openai")}`,
        ),
      ];
    }),
    check(
      "SwiGLU",
      "swiglu",
      "edges",
      async (ops, golden) => {
        const { shape, data } = golden.get(dialect.startsWith("bf16") ? "bf16_in" : "f32_in")!;
        const pairs = ops.write({ shape: [1, shape[0]!, 2], data });
        return ops.read(await ops.swiglu(pairs, 1.702, 7)).data;
      },
      suffix,
      true,
    ),
  ];
}

async function withEngine<R>(
  engine: EngineFactory,
  dialect: DialectName,
  run: (ops: Ops) => Promise<R>,
): Promise<R> {
  const ops = await engine(dialect);
  try {
    return await run(ops);
  } finally {
    await ops.close();
  }
}

/** Attention over a whole sequence, or by its queries from `position` on; `window` 0 means none. `at` leads the tensors' names. */
async function attention(
  ops: Ops,
  golden: Trace,
  at: string,
  windowOrNone: number,
  position = 0,
): Promise<Record<string, HostTensor["data"]>> {
  const [q, k, v] = ["q", "k", "v"].map((name) => ops.write(golden.get(at + name)!)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const [T, kvHeads, headDim] = k.shape as [number, number, number];
  const ring = await ops.createRing(T, kvHeads, headDim);
  const window = windowOrNone || Number.POSITIVE_INFINITY;
  await ops.store(k, v, [{ ring, tokens: T, position: 0, first: 0, window }]);
  const first = Math.max(0, position - window + 1);
  const spans = [{ ring, tokens: T - position, position, first, window }];
  const queries = ops.rows(
    q,
    Array.from({ length: T - position }, (_, t) => position + t),
  );
  const scores = await ops.attentionScores(queries, spans, 1 / Math.sqrt(headDim));
  const sinks = await ops.loadWeight(sourceOf("sinks", golden.get(`${at}sinks`)!), "vector");
  const { weights, sink } = await ops.sinkSoftmax(scores, sinks, spans);
  const context = await ops.attentionContext(weights, spans);
  return { weights: ops.read(weights).data, sink: ops.read(sink).data, context: ops.read(context).data };
}

/** The steps of the int dialects against numpy's, in one pass and for late queries alone: not one bit may differ. */
function attentionBits(
  engine: EngineFactory,
  dialect: DialectName,
  vectors: OpVectors,
  label: string,
): Check[] {
  return [0, 40].flatMap((window) =>
    ["sink", "context", "context of the last 3"].map(
      (name): Check => ({
        group: "sink attention",
        name: `${name}, window ${window}, bits ${dialect}${label}`,
        async run() {
          const golden = await vectors("attention-float32");
          const part = name.split(" ")[0]!;
          const position = part === name ? 0 : golden.get("q")!.shape[0]! - 3;
          const results = await withEngine(engine, dialect, (ops) =>
            attention(ops, golden, "", window, position),
          );
          const actual = results[part]!;
          const expected = golden.get(`${part}.w${window}`)!.data;
          return {
            error: differing(actual, expected.slice(-actual.length)),
            tolerance: 0,
            unit: "differing",
          };
        },
      }),
    ),
  );
}

/** A matrix [rows, cols] or vector in memory as a weight source. */
function sourceOf(name: string, { shape, data }: HostTensor): WeightSource {
  const cols = shape.at(-1)!;
  const bytes = new Uint8Array(Float32Array.from(data).buffer);
  return memorySource({ name, encoding: "f32", matrices: 1, rows: data.length / cols, cols }, bytes);
}

/** Blocks [rows, cols / 32 · 34]. */
function q8_0Source({ shape, data }: HostTensor): WeightSource {
  const [rows, stride] = shape as [number, number];
  const form = { name: "q8_0", encoding: "q8_0", matrices: 1, rows, cols: (stride / 34) * 32 } as const;
  return memorySource(form, Uint8Array.from(data));
}

/** Blocks [matrices, rows, cols / 32, 16] and scales [matrices, rows, cols / 32]. */
function mxfp4Source({ shape, data }: HostTensor, scales: HostTensor): WeightSource {
  const [matrices, rows, blocks] = shape as [number, number, number];
  const form = { name: "mxfp4", encoding: "mxfp4", matrices, rows, cols: blocks * 32 } as const;
  return memorySource(form, Uint8Array.from(data), Uint8Array.from(scales.data));
}

function memorySource(
  form: Omit<WeightSource, "readRows">,
  data: Uint8Array,
  scales?: Uint8Array,
): WeightSource {
  const { encoding, matrices, rows, cols } = form;
  return {
    ...form,
    async readRows(matrix, first, count) {
      const part = (bytes: Uint8Array): Uint8Array => {
        const stride = bytes.length / (matrices * rows);
        const at = (matrix * rows + first) * stride;
        return bytes.subarray(at, at + count * stride);
      };
      return { encoding, rows: count, cols, data: part(data), ...(scales && { scales: part(scales) }) };
    },
  };
}
