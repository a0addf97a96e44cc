import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { mapWeights } from "../../src/checkpoint/weights.ts";
import { register } from "../../src/cli/bisect.ts";
import type { ModelConfig } from "../../src/config.ts";
import type { HostTensor } from "../../src/engine/ops.ts";
import { load, type Model } from "../../src/generation/model.ts";
import type { Hook, Hooks } from "../../src/model/hooks.ts";
import { Transformer } from "../../src/model/transformer.ts";
import type { DialectName } from "../../src/numerics/dialects.ts";
import { type Bisection, bisect } from "../../src/oracle/bisect.ts";
import { stepOf } from "../../src/oracle/dataflow.ts";
import { fitTheirs } from "../../src/oracle/theirs.ts";
import { type Trace, tokenAxis, trace, tracePoints } from "../../src/oracle/trace.ts";
import { readTrace, writeTrace } from "../../src/oracle/trace-file.ts";
import { run } from "../cli/run.ts";

const golden = fileURLToPath(new URL("../../golden/model", import.meta.url));
const checkpoint = `${golden}/checkpoint`;
const open = (dialect: DialectName): Promise<Model> =>
  load(checkpoint, { dialect, engine: "reference", tokenizer: false });
const { ids } = JSON.parse(await readFile(`${golden}/ids.json`, "utf8")) as { ids: number[] };
const { config, close } = await openCheckpoint(checkpoint);
await close();
const folder = await mkdtemp(join(tmpdir(), "gpt-oss-bisect-"));
afterAll(() => rm(folder, { recursive: true }));

/** The points at which something differs. */
function differing({ findings }: Bisection): string[] {
  return findings.filter(({ verdict }) => verdict === "differs").map(({ point }) => point);
}

function only(whole: Trace, pattern: RegExp): Trace {
  return new Map([...whole].filter(([point]) => pattern.test(point) || point === "ids"));
}

/** The first tokens of a golden trace. */
async function goldenTrace(file: string, tokens: number): Promise<Trace> {
  const { trace: whole } = await readTrace(`${golden}/${file}.safetensors`);
  const cut = [...whole].map(([point, { shape, data }]): [string, HostTensor] => {
    const axis = tokenAxis(point);
    const held = shape[axis]!;
    if (held <= tokens) return [point, { shape, data }];
    if (axis === 0)
      return [
        point,
        { shape: [tokens, ...shape.slice(1)], data: data.slice(0, (data.length / held) * tokens) },
      ];
    return [point, { shape: [shape[0]!, tokens], data: data.filter((_, i) => i % held < tokens) }]; // the sink's share
  });
  return new Map(cut);
}

/** A run of ours that is wrong in one place. */
async function faulty(
  fault: { hooks?: Hooks; change?: (config: ModelConfig) => Partial<ModelConfig>; dialect?: DialectName },
  tokens = 40,
): Promise<Trace> {
  await using model = await open(fault.dialect ?? "f32");
  const transformer = model.transformer;
  const changed = fault.change ? await withConfig(model, fault.change(config)) : transformer;
  return await trace(changed, ids.slice(0, tokens), { hooks: () => fault.hooks ?? {} });
}

async function withConfig(model: Model, change: Partial<ModelConfig>): Promise<Transformer> {
  const { ops } = model.transformer;
  const weights = await mapWeights(model.checkpoint.weights, (source, role) => ops.loadWeight(source, role));
  return new Transformer({ ...config, ...change }, weights, ops);
}

const scaled =
  (factor: number): Hook =>
  ({ shape, data }) => ({ shape, data: data.map((x) => x * factor) });

describe("PyTorch's own runs are not accused", () => {
  const files = [
    ["f64", "f64"],
    ["bf16-openai", "bf16-openai"],
    ["bf16-transformers", "bf16-hf"],
    ["bf16-transformers", "bf16-openai"], // a dialect that isn't quite theirs
  ] as const;
  test.each(files)(
    "%s by the noise of %s, with every point and with residuals only",
    async (file, dialect) => {
      const { trace: whole } = await readTrace(`${golden}/${file}.safetensors`);
      for (const pattern of [/./, /residual/]) {
        const result = await bisect(open, fitTheirs(only(whole, pattern), config), dialect);
        expect(differing(result)).toEqual([]);
        const judged = result.findings.filter(({ verdict }) => verdict === "agrees");
        expect(judged.length).toBe(pattern.source === "." ? 45 : 4);
      }
    },
  );
});

test("a value that doesn't follow from PyTorch's inputs is found where it is made and where it is used", async () => {
  const whole = await goldenTrace("bf16-transformers", 20);
  const { shape, data } = whole.get("layers.1.attn.q")!;
  const theirs = new Map(whole).set("layers.1.attn.q", { shape, data: data.map((x) => x * 1.05) });
  const result = await bisect(open, fitTheirs(theirs, config), "bf16-hf");
  expect(differing(result)).toEqual(["layers.1.attn.q", "layers.1.attn.q_rope"]);
  expect(result.first).toMatchObject({
    op: "projection of the queries",
    from: ["layers.1.attn.norm"],
    between: [],
  });
  expect(result.first!.tokens).toHaveLength(20);
});

describe("a run with a fault is accused of that fault alone", () => {
  const swapExperts: Hook = ({ shape, data }) => ({
    shape,
    data: Int32Array.from(data, (e) => (e === 2 ? 5 : e === 5 ? 2 : e)),
  });
  const moveWindow = ({ layerTypes }: ModelConfig) => ({ layerTypes: layerTypes.toReversed() });
  const truncate = ({ rope }: ModelConfig) => ({ rope: { ...rope, truncate: true } });
  const attn = (layer: number, ...names: string[]): string[] => names.map((n) => `layers.${layer}.attn.${n}`);
  const faults: Record<string, [Parameters<typeof faulty>[0], string[], from: number, tokens?: number]> = {
    "queries scaled in layer 1": [{ hooks: { "layers.1.attn.q": scaled(1.02) } }, attn(1, "q"), 0],
    "experts 2 and 5 swapped in layer 0": [
      { hooks: { "layers.0.moe.expert_ids": swapExperts } },
      ["layers.0.moe.expert_ids"],
      0,
    ],
    "an expert's output doubled in layer 1": [
      { hooks: { "layers.1.moe.down": scaled(2) } },
      ["layers.1.moe.down"],
      0,
    ],
    "two bugs at once": [
      { hooks: { "layers.0.attn.out": scaled(1.1), "layers.1.moe.norm": scaled(0.99) } },
      ["layers.0.attn.out", "layers.1.moe.norm"],
      0,
    ],
    "a window of 127": [{ change: () => ({ slidingWindow: 127 }) }, attn(0, "scores"), 127, 135],
    "windows on the wrong layers": [
      { change: moveWindow },
      [...attn(0, "scores"), ...attn(1, "scores")],
      128,
      135,
    ],
    "truncated YaRN": [
      { change: truncate },
      [0, 1].flatMap((layer) => attn(layer, "q_rope", "k_rope")),
      1, // position 0 isn't rotated
    ],
    "no clamp": [
      { change: () => ({ swigluLimit: Number.POSITIVE_INFINITY }) },
      ["layers.0.moe.swiglu", "layers.1.moe.swiglu"],
      0,
    ],
  };
  test.each(Object.entries(faults))("%s", async (_name, [fault, points, from, tokens]) => {
    const result = await bisect(open, fitTheirs(await faulty(fault, tokens), config), "f32");
    expect(differing(result)).toEqual(points);
    expect(result.first!.point).toBe(points[0]);
    expect(result.first!.tokens[0]).toBeGreaterThanOrEqual(from);
    if (from === 127 || from === 128) expect(result.first!.tokens[0]).toBe(from);
  });

  test("in bf16, where the noise is ten thousand times as large", async () => {
    const theirs = await faulty({ change: truncate, dialect: "bf16-hf" }, 100);
    const result = await bisect(open, fitTheirs(theirs, config), "bf16-hf");
    expect(differing(result)).toEqual([0, 1].flatMap((layer) => attn(layer, "q_rope", "k_rope")));
  });
});

test("of residuals only, the half layer is named, with what to capture next", async () => {
  const whole = await faulty({ hooks: { "layers.1.attn.q": scaled(1.2) } });
  const { findings, first } = await bisect(open, fitTheirs(only(whole, /residual|logits/), config), "f32");
  expect(first!.point).toBe("layers.1.attn.residual");
  expect(first!.from).toEqual(["layers.0.moe.residual"]);
  expect(first!.between).toContain("layers.1.attn.q");
  expect(first!.between).not.toContain("layers.0.moe.out");
  expect(findings.filter(({ verdict }) => verdict === "differs")).toHaveLength(1);
});

test("a point recorded for the first tokens only doesn't shift the blame to the next one", async () => {
  const whole = new Map(await faulty({ hooks: { "layers.0.moe.down": scaled(2) } }));
  const { shape, data } = whole.get("layers.0.moe.down")!;
  const width = data.length / shape[0]!;
  whole.set("layers.0.moe.down", { shape: [8, ...shape.slice(1)], data: data.slice(0, 8 * width) });
  expect(differing(await bisect(open, fitTheirs(whole, config), "f32"))).toEqual(["layers.0.moe.down"]);
});

test("NaN is blamed on the operation that makes it", async () => {
  const overflow: Hook = ({ shape, data }) => ({
    shape,
    data: data.map((x, i) => (i === 70 ? Number.NaN : x)),
  });
  const theirs = await faulty({ hooks: { "layers.0.moe.out": overflow } }, 4);
  const result = await bisect(open, fitTheirs(theirs, config), "f32");
  expect(differing(result)).toEqual(["layers.0.moe.out"]);
  expect(result.first!.tokens).toEqual([1]);
});

test("a near tie is no difference, another choice is", async () => {
  const logits = (row: number[]): HostTensor => ({ shape: [1, 8], data: Float32Array.from(row) });
  const chosen = (row: number[]): HostTensor => ({ shape: [1, 4], data: Int32Array.from(row) });
  const judgeIds = async (scores: number[], experts: number[]) => {
    const theirs: Trace = new Map([
      ["ids", { shape: [1], data: Int32Array.of(7) }],
      ["layers.0.moe.router_logits", logits(scores)],
      ["layers.0.moe.expert_ids", chosen(experts)],
    ]);
    const { findings } = await bisect(open, fitTheirs(theirs, config), "f32");
    return findings.find(({ point }) => point.endsWith("expert_ids"))!;
  };
  expect(await judgeIds([5, 4, 3, 2, 2, 0, 0, 0], [0, 1, 2, 4])).toMatchObject({
    verdict: "agrees",
    ties: 1,
  });
  expect(await judgeIds([5, 4, 3, 2, 1, 0, 0, 0], [0, 1, 2, 4])).toMatchObject({
    verdict: "differs",
    ties: 0,
  });
  expect(await judgeIds([5, 4, 3, 2, 1, 0, 0, 0], [3, 1, 2, 0])).toMatchObject({
    verdict: "agrees",
    ties: 0,
  }); // any order
  expect(await judgeIds([5, 4, 3, 2, 1, 0, 0, 0], [0, 0, 1, 2])).toMatchObject({ verdict: "differs" });
});

test("the graph has every trace point, and its inputs come before it", () => {
  const order = tracePoints(config.numLayers);
  for (const [i, point] of order.entries()) {
    const step = stepOf(point, config)!;
    expect(step.inputs.length).toBeGreaterThan(0);
    for (const input of step.inputs) expect(["ids", ...order.slice(0, i)]).toContain(input);
  }
});

test("what doesn't fit the model is set aside, and said", () => {
  const one = (shape: number[], data: HostTensor["data"]): HostTensor => ({ shape, data });
  const theirs: Trace = new Map([
    ["ids", one([2], Int32Array.of(1, 2))],
    ["embedding", one([2, 64], new Float32Array(128))],
    ["layers.0.attn.q", one([2, 64], new Float32Array(128))], // flat heads are fine
    ["layers.0.attn.k", one([2, 64], new Float32Array(128))],
    ["layers.0.moe.expert_ids", one([1, 4], Float32Array.of(0, 1, 2, 8))],
    ["layers.9.attn.q", one([2, 64], new Float32Array(128))],
    ["layers.0.attn.constructor", one([2, 64], new Float32Array(128))],
    ["norm", one([3, 64], new Float32Array(192))],
    ["layers.0.attn.scores", one([4, 2, 1], new Float32Array(8))],
  ]);
  const { points, ignored } = fitTheirs(theirs, config);
  expect([...points.keys()]).toEqual(["embedding", "layers.0.attn.q"]);
  expect(ignored.map(({ reason }) => reason)).toEqual([
    expect.stringContaining("expected 32 values a token"),
    "8 is no expert: expected 0 to 7",
    "no such trace point in this model",
    "no such trace point in this model",
    "[3, 64]: tokens should be 1 to 2",
    "[4, 2, 1]: expected [4, 2, 2]",
  ]);
  expect(() => fitTheirs(new Map([...theirs].filter(([name]) => name !== "ids")), config)).toThrow(/--ids/);
  expect(() => fitTheirs(new Map([...theirs].slice(0, 1)), config)).toThrow(/no point that fits/);
});

describe("gpt-oss bisect", () => {
  const bisectFile = async (name: string, theirs: Trace, ...flags: string[]) => {
    const path = join(folder, name);
    await writeTrace(path, theirs, { dialect: "f32" });
    const output = await run(register, "bisect", checkpoint, path, ...flags);
    const status = process.exitCode;
    process.exitCode = undefined;
    return { output, status };
  };

  test("names operation, point, inputs, tokens and the next command, and exits with 1", async () => {
    const { output, status } = await bisectFile(
      "q.safetensors",
      await faulty({ hooks: { "layers.1.attn.q": scaled(2) } }),
    );
    expect(status).toBe(1);
    expect(output).toMatch(
      /First difference: projection of the queries \(layers\.1\.attn\.q\), given their layers\.1\.attn\.norm: 40 of 40 tokens/,
    );
    expect(output).toMatch(/Next: gpt-oss diagnose .*q\.safetensors/);
  });

  test("says what to capture when only logits are there", async () => {
    const whole = await faulty({ hooks: { "layers.1.attn.q": scaled(2) } }, 2);
    const { output, status } = await bisectFile("logits.safetensors", only(whole, /logits/));
    expect(status).toBe(1);
    expect(output).toMatch(
      /Next: capture layers\.0\.attn\.residual,layers\.0\.moe\.residual,layers\.1\.attn\.residual/,
    );
  });

  test("prints JSON, and exits with 0 where all agrees", async () => {
    const { output, status } = await bisectFile("right.safetensors", await faulty({}), "--json");
    expect(status).toBeUndefined();
    const result = JSON.parse(output);
    expect(result).toMatchObject({ tokens: 40, dialect: "f32", ignored: [] });
    expect(result.findings).toHaveLength(45);
    expect(result.findings[0]).toMatchObject({
      point: "embedding",
      op: "embedding",
      from: ["ids"],
      verdict: "agrees",
    });
  });

  test("reads other programs' names, and says where it is in their words", async () => {
    const whole = await faulty({ hooks: { "layers.1.attn.q": scaled(2) } }, 6);
    const renamed: Trace = new Map([
      ["ids", whole.get("ids")!],
      ["model.layers.1.input_layernorm", whole.get("layers.1.attn.norm")!],
      ["model.layers.1.self_attn.q_proj", whole.get("layers.1.attn.q")!],
    ]);
    const { output, status } = await bisectFile("transformers.safetensors", renamed);
    expect(status).toBe(1);
    expect(output).toMatch(/\(layers\.1\.attn\.q, yours model\.layers\.1\.self_attn\.q_proj\)/);
  });

  test("refuses a few printed values, and no file at all", async () => {
    const path = join(folder, "eval.txt");
    const values = "[\n[\n[ 1.0000, 2.0000],\n],\n]\nsum = 3.000000\n";
    await writeFile(
      path,
      `ggml_debug: attn_norm-0 = (f32) MUL(norm-0{2, 1, 1, 1}, w{2, 1, 1, 1}}) = {2, 1, 1, 1}\n${values}`,
    );
    await expect(run(register, "bisect", checkpoint, path)).rejects.toThrow(
      /a few values of each activation/,
    );
    await expect(run(register, "bisect", checkpoint, join(folder, "none"))).rejects.toThrow(
      /can't open the trace/,
    );
  });

  test("takes the ids from a file where the trace has none", async () => {
    const theirs = new Map(await faulty({}, 5));
    theirs.delete("ids");
    await expect(bisectFile("no-ids.safetensors", theirs)).rejects.toThrow(/--ids/);
    const path = join(folder, "ids.json");
    await writeFile(path, JSON.stringify(ids.slice(0, 5)));
    expect((await bisectFile("no-ids.safetensors", theirs, "--ids", path)).output).toMatch(/of 5 tokens/);
  });
});
