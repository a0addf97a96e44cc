import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { HostTensor } from "../../src/engine/ops.ts";
import { load } from "../../src/generation/model.ts";
import type { Hooks } from "../../src/model/hooks.ts";
import type { DialectName } from "../../src/numerics/dialects.ts";
import { compare } from "../../src/oracle/compare.ts";
import { noiseFloor } from "../../src/oracle/noise-floor.ts";
import { htmlReport } from "../../src/oracle/report/html.ts";
import type { TraceSummary } from "../../src/oracle/report/judged.ts";
import { conclusion } from "../../src/oracle/report/words.ts";
import type { Trace } from "../../src/oracle/trace.ts";
import { readTrace } from "../../src/oracle/trace-file.ts";

const golden = (path: string): string =>
  fileURLToPath(new URL(`../../golden/model/${path}`, import.meta.url));
const ids = Array.from({ length: 24 }, (_, i) => (i * 37 + 5) % 200);

/** A run of the golden checkpoint in which one activation, if any, is replaced. */
async function run(
  dialect: DialectName,
  point?: string,
  change?: (x: number, i: number) => number,
): Promise<Trace> {
  await using model = await load(golden("checkpoint"), { dialect, tokenizer: false });
  const recorded = new Map<string, HostTensor>([
    ["ids", { shape: [ids.length], data: Int32Array.from(ids) }],
  ]);
  const replace: Hooks =
    point && change ? { [point]: ({ shape, data }) => ({ shape, data: data.map(change) }) } : {};
  const record: Hooks = { "*": (value, name) => void recorded.set(name, value) };
  await model.transformer.forward(ids, model.transformer.createCache(), { hooks: { ...replace, ...record } });
  return recorded;
}

const truth = await run("f64");

test("PyTorch's bfloat16 lies within the noise of float64, its routing flips at near ties", async () => {
  for (const [file, dialect] of [
    ["bf16-openai", "bf16-openai"],
    ["bf16-transformers", "bf16-hf"],
  ] as const) {
    // biome-ignore format: a table
    const [a, b] = await Promise.all([file, "f64"].map((name) => readTrace(golden(`${name}.safetensors`))));
    const result = compare(a!.trace, b!.trace, noiseFloor(dialect, "f64", 2));
    expect(result.firstDivergence?.point).toBeUndefined();
    expect(result.routing.flips.length).toBeGreaterThan(0);
    expect(result.routing.flips.filter(({ benign }) => benign === false)).toEqual([]);
    // taken for float32, the same is a divergence at the first rounding
    expect(compare(a!.trace, b!.trace, noiseFloor("f32", "f64", 2)).firstDivergence?.point).toBe(
      "layers.0.attn.norm",
    );
  }
});

test.each([
  "attn.norm",
  "attn.q",
  "attn.k",
  "attn.v",
  "attn.q_rope",
  "attn.k_rope",
  "attn.scores",
  "attn.weights",
  "attn.context",
  "attn.out",
  "attn.residual",
  "moe.norm",
  "moe.router_logits",
  "moe.expert_weights",
  "moe.gate_up",
  "moe.swiglu",
  "moe.down",
  "moe.out",
  "moe.residual",
])("an error at %s of layer 1 is found there, in float32 and in bfloat16", async (op) => {
  const point = `layers.1.${op}`;
  for (const [dialect, error] of [
    ["f32", 1e-4],
    ["bf16-hf", 0.3],
  ] as const) {
    // biome-ignore format: a table
    const wrong = await run(dialect, point, (x, i) => x * (1 + error * ((i % 5) - 2)));
    const { firstDivergence } = compare(wrong, truth, noiseFloor(dialect, "f64", 2));
    expect(firstDivergence?.point).toBe(point);
    expect(firstDivergence?.firstToken).toBe(0);
  }
});

test("a correct run passes in every dialect, against the truth and against another", async () => {
  const runs = new Map<DialectName, Trace>();
  for (const dialect of ["f32", "bf16-hf", "bf16-openai", "int16", "int8"] as const) {
    const trace = await run(dialect);
    for (const [other, b] of [...runs, ["f64", truth] as const]) {
      expect(
        compare(trace, b, noiseFloor(dialect, other, 2)).firstDivergence?.point,
        `${dialect}, ${other}`,
      ).toBeUndefined();
    }
    runs.set(dialect, trace);
  }
});

test("of residual streams alone, a right run passes, and a wrong one is found in its half of the layer", async () => {
  const only = (trace: Trace): Trace =>
    new Map([...trace].filter(([point]) => /residual$|^(ids|embedding|norm|logits)$/.test(point)));
  for (const [dialect, size] of [
    ["f32", 1e-3],
    ["bf16-hf", 0.5],
  ] as const) {
    // biome-ignore format: a table
    const first = (trace: Trace): string | undefined =>
      compare(only(trace), only(truth), noiseFloor(dialect, "f64", 2)).firstDivergence?.point;
    const wave = (x: number, i: number): number => x * (1 + size * ((i % 5) - 2));
    expect(first(await run(dialect)), dialect).toBeUndefined();
    expect(first(await run(dialect, "layers.1.attn.context", wave)), dialect).toBe("layers.1.attn.residual");
    expect(first(await run(dialect, "layers.1.moe.swiglu", wave)), dialect).toBe("layers.1.moe.residual");
  }
});

test("a choice of experts that their logits don't explain is a divergence", async () => {
  const wrong = await run("f32", "layers.1.moe.expert_ids", (id, i) =>
    Math.floor(i / 4) === 9 && i % 4 === 0 ? leastLikely(9) : id,
  );
  const { firstDivergence, routing } = compare(wrong, truth, noiseFloor("f32", "f64", 2));
  expect(firstDivergence).toMatchObject({ point: "layers.1.moe.expert_ids", firstToken: 9, flips: 1 });
  expect(routing.flips[0]).toMatchObject({ layer: 1, token: 9, expertsA: [leastLikely(9)], benign: false });
});

function leastLikely(token: number): number {
  const { shape, data } = truth.get("layers.1.moe.router_logits")!;
  const row = Array.from(data.subarray(token * shape[1]!, (token + 1) * shape[1]!));
  return row.indexOf(Math.min(...row));
}

test("the sentence says what is wrong", async () => {
  const sentence = async (op: string, change: (x: number, i: number) => number): Promise<string> =>
    conclusion(compare(await run("f32", `layers.1.${op}`, change), truth, noiseFloor("f32", "f64", 2)));
  expect(await sentence("attn.scores", (x) => 0.5 * x)).toBe(
    "Attention of layer 1: the rotated queries and the rotated keys agree, the scores part from the first token on: it is 0.500 times what it should be: look at the scale 1/√d.",
  );
  const T = ids.length; // a window of 10 in a layer that has none
  expect(
    await sentence("attn.scores", (x, i) =>
      (Math.floor(i / T) % T) - (i % T) >= 10 ? Number.NEGATIVE_INFINITY : x,
    ),
  ).toMatch(
    /the scores part from token 10 on: it masks keys that should be seen: look at the sliding window/,
  );
  expect(await sentence("attn.q", (x, i) => x + ((i % 64) - 30) / 50)).toMatch(
    /the queries part from the first token on: .*look at the bias/,
  );
});

test("the page holds every point, and no text of a file as markup", async () => {
  const comparison = compare(
    await run("f32", "layers.1.moe.swiglu", (x) => 1.1 * x),
    truth,
    noiseFloor("f32", "f64", 2),
  );
  const summary: TraceSummary = {
    path: "<script>alert(1)</script>", format: "npz", convention: "ours", dialect: "f32", dialectGuessed: true, unknown: [],
  }; // biome-ignore format: one file
  const page = htmlReport({ comparison, a: summary, b: summary, conclusion: conclusion(comparison) }, ids);
  expect(page).not.toContain("<script>alert");
  const data = JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)![1]!);
  expect(data.points.map(({ point }: { point: string }) => point)).toEqual(
    comparison.points.map(({ point }) => point),
  );
  expect(page.match(/(?:src|href)=|url\(|https?:/g)?.filter((text) => !text.startsWith("http"))).toEqual([]);
});
