import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { load } from "../../src/generation/model.ts";
import { GOLDEN } from "../../src/oracle/conformance/goldens.ts";
import {
  type Activation,
  type ConformanceReport,
  conformance,
  conformanceText,
  modelRuntime,
  NotOffered,
  type Runtime,
  readTrace,
  textRuntime,
} from "../../src/oracle/index.ts";
import { o200kHarmony } from "../tokenizer/o200k.ts";

const { trace: truth } = await readTrace(join(GOLDEN, "model/f64.safetensors"));
const ids = [...truth.get("ids")!.data];

/** The logits of PyTorch's float64 run, by position; `change` makes them wrong. */
function rowsOf(from: number, to: number, change: (t: number) => number = () => 1): number[][] {
  const { data } = truth.get("logits")!;
  return Array.from({ length: to - from }, (_, i) => {
    const t = from + i;
    return Array.from(data.subarray(t * 200, (t + 1) * 200), (x, j) => (j % 2 ? x * change(t) : x));
  });
}

/** Tokens that follow each other. */
function session(change?: (t: number) => number) {
  let at = 0;
  return {
    feed(chunk: readonly number[]) {
      at += chunk.length;
      return rowsOf(at - chunk.length, at, change);
    },
    truncate(tokens: number) {
      at = tokens;
    },
  };
}

/** A runtime that has PyTorch's values, wrong ones where `change` says so. */
function recorded(change?: (t: number) => number): Runtime {
  return {
    logits: (prompt) => rowsOf(ids.indexOf(prompt[0]!) === 0 ? 0 : 3, prompt.length, change),
    trace: () => truth,
    open: () => session(change),
    batch: (prompts) => prompts.map((prompt) => rowsOf(0, prompt.length, change)),
  };
}

const level = (report: ConformanceReport, n: number) => report.levels.find((one) => one.level === n)!;

test("PyTorch's own values pass every level that they have", async () => {
  const report = await conformance(recorded());
  expect(report.levels.map(({ status }) => status)).toEqual([
    "passed",
    "passed",
    "skipped",
    "skipped",
    "passed",
  ]);
  expect(report.passed).toBe(true);
  expect(level(report, 1).checks).toHaveLength(9);
  expect(level(report, 2).checks).toHaveLength(46);
  expect(conformanceText(report)).toContain("Conforms.");
});

describe("level 1 tells from the first wrong token where to look", () => {
  const cases: [string, number, RegExp, number][] = [
    ["the first", 0, /The first token alone is wrong.*MXFP4/, 9],
    ["the second", 1, /^The first token is right and token 1 isn't.*rotation/, 8],
    ["64th, a power of two", 64, /size of a chunk/, 6],
    ["the last of a window of 127", 127, /one too narrow/, 5],
    ["the first that the window cuts", 128, /window is missing, one too wide, or on the wrong layers/, 4],
    ["one after the window", 140, /ring of cached keys/, 2],
    ["past the original context", 256, /past the original context/, 2],
  ];
  test.each(cases)("%s", async (_, from, hint, failing) => {
    const runtime = recorded((t) => (t >= from ? 1.01 : 1));
    for (const one of [
      runtime,
      { logits: async (prompt: readonly number[]) => (await runtime.logits!(prompt)).slice(-1) },
    ]) {
      const { checks, hint: found } = level(await conformance(one, { levels: [1] }), 1);
      expect(checks.filter(({ passed }) => !passed)).toHaveLength(failing);
      // of last rows alone the first wrong one is the end of the first wrong prompt
      if (one === runtime) expect(found).toMatch(hint);
    }
  });
});

test("bfloat16 of PyTorch passes as bfloat16, and as float32 is taken for what it is", async () => {
  const { trace } = await readTrace(join(GOLDEN, "model/bf16-openai.safetensors"));
  const { data } = trace.get("logits")!;
  const runtime: Runtime = {
    logits: (prompt) => prompt.map((_, t) => data.subarray(t * 200, (t + 1) * 200)),
    trace: () => trace,
  };
  const asIs = await conformance(runtime, { precision: "bfloat16", levels: [1, 2] });
  expect(asIs.levels.flatMap(({ checks }) => checks.filter(({ passed }) => !passed))).toEqual([]);
  const strict = await conformance(runtime, { levels: [1, 2] });
  expect(strict.levels.map(({ hint }) => hint)).toEqual([
    expect.stringMatching(/those of (int8 or )?bfloat16/),
    expect.stringMatching(/those of bfloat16.*layers\.0\.attn\.norm/),
  ]);
});

describe("level 2 names the first point that differs", () => {
  const changed = (point: string, value: (x: number, i: number) => number): Runtime => ({
    trace: () => {
      const { shape, data } = truth.get(point)!;
      return new Map<string, Activation>([...truth, [point, { shape, data: Array.from(data, value) }]]);
    },
  });
  test.each([
    ["layers.0.attn.q_rope", /halves.*YaRN/],
    ["layers.0.attn.sink", /one learnt logit a query head/],
    ["layers.1.moe.swiglu", /clamped at 7.*Layer 0 is right/],
    ["logits", /not the embedding/],
  ])("%s", async (point, hint) => {
    const { checks, hint: found } = level(
      await conformance(
        changed(point, (x) => x * 1.02),
        { levels: [2] },
      ),
      2,
    );
    expect(checks.filter(({ passed }) => !passed).map(({ name }) => name)).toEqual([point]);
    expect(found).toMatch(hint);
  });

  test("any large negative number counts as masked, and a score in the mask's place doesn't", async () => {
    const point = "layers.0.attn.scores";
    const filled = changed(point, (x) => (x === Number.NEGATIVE_INFINITY ? -3.4e38 : x));
    expect((await conformance(filled, { levels: [2] })).passed).toBe(true);
    const seen = changed(point, (x) => (x === Number.NEGATIVE_INFINITY ? 0 : x));
    expect(
      level(await conformance(seen, { levels: [2] }), 2).checks.find(({ name }) => name === point),
    ).toMatchObject({
      passed: false,
      detail: "masked at other places",
    });
  });

  test("experts in another order are told from other experts", async () => {
    const point = "layers.0.moe.expert_ids";
    const { shape, data } = truth.get(point)!;
    const reversed = Array.from({ length: data.length }, (_, i) => data[i - (i % 4) + 3 - (i % 4)]!);
    const runtime: Runtime = { trace: () => new Map([[point, { shape, data: reversed }]]) };
    const { checks } = level(await conformance(runtime, { levels: [2] }), 2);
    expect(checks.find(({ name }) => name === point)?.detail).toMatch(/another order/);
  });

  test("what has another shape or no known name is told", async () => {
    const other: Runtime = {
      trace: () => new Map([["norm", { shape: [64, 300], data: truth.get("norm")!.data }]]),
    };
    const { checks } = level(await conformance(other, { levels: [2] }), 2);
    expect(checks.find(({ name }) => name === "norm")?.detail).toMatch(
      /shape \[64, 300\], expected \[300, 64\]/,
    );
    const none: Runtime = {
      trace: () =>
        new Map([
          ["norm", { shape: [0, 64], data: [] }],
          ["logits", { shape: [2, 200], data: truth.get("logits")!.data.slice(0, 400) }],
        ]),
    };
    expect(level(await conformance(none, { levels: [2] }), 2).checks.slice(1)).toMatchObject([
      { name: "norm", passed: false, detail: "no tokens" },
      { name: "logits", passed: true, detail: "2 tokens, taken for the first ones" },
    ]);
    const unnamed: Runtime = { trace: () => new Map([["model.norm", { shape: [1], data: [1] }]]) };
    expect(level(await conformance(unnamed, { levels: [2] }), 2).checks[0]?.detail).toMatch(
      /no activation has a known name/,
    );
  });
});

describe("level 5 finds what depends on how tokens come", () => {
  const failing = async (runtime: Runtime) => {
    const { checks, hint } = level(await conformance(runtime, { levels: [5] }), 5);
    return { names: checks.filter(({ passed }) => !passed).map(({ name }) => name), hint };
  };

  test("sessions that share a cache", async () => {
    const { open, ...rest } = recorded();
    const one = open!();
    const result = await failing({
      ...rest,
      open: async () => ({ feed: (await one).feed, close: async () => (await one).truncate!(0) }),
    });
    expect(result).toEqual({
      names: ["two sessions in turns"],
      hint: expect.stringMatching(/cache is shared/),
    });
  });

  test("whatever closing a session does", async () => {
    const { open, ...rest } = recorded(() => 1);
    const shared = await open!();
    const close = () => Promise.reject(new NotOffered());
    expect((await failing({ ...rest, open: () => ({ feed: shared.feed, close }) })).names).toContain(
      "chunks of 7",
    );
  });

  test("a cache that can't be cut back", async () => {
    const runtime: Runtime = {
      ...recorded(),
      open: () => {
        let cut = 0;
        const { feed, truncate } = session(() => 1 + cut);
        return {
          feed,
          truncate(tokens) {
            cut = 0.01;
            truncate(tokens);
          },
        };
      },
    };
    expect(await failing(runtime)).toEqual({
      names: ["cut back to 100 tokens, and on"],
      hint: expect.stringMatching(/has wrapped/),
    });
  });

  test("chunks that begin at position 0, batches that pad, passes that leave something behind", async () => {
    const runtime = recorded();
    const chunked: Runtime = { ...runtime, open: () => ({ feed: (chunk) => rowsOf(0, chunk.length) }) };
    expect((await failing(chunked)).hint).toMatch(/positions that start over/);
    const padded: Runtime = {
      ...runtime,
      batch: (prompts) => prompts.map((prompt) => rowsOf(300 - prompt.length, 300)),
    };
    expect((await failing(padded)).hint).toMatch(/padding/);
    let passes = 0;
    const stale: Runtime = {
      logits: (prompt) => rowsOf(0, prompt.length, () => (passes++ > 300 ? 1.01 : 1)),
    };
    expect((await failing(stale)).hint).toMatch(/left over from the pass before/);
  });

  test("a runtime that is wrong throughout, but the same however tokens come, fails at level 1 alone", async () => {
    const report = await conformance(
      recorded(() => 1.05),
      { levels: [1, 5] },
    );
    expect(report.levels.map(({ status }) => status)).toEqual(["failed", "passed"]);
  });
});

test("a runtime that throws, or returns something else, fails and is not trusted", async () => {
  const results: [Runtime["logits"], RegExp][] = [
    [() => Promise.reject(new Error("out of memory")), /out of memory/],
    [() => rowsOf(0, 5), /5 rows of logits for \d+ tokens/],
    [(prompt) => prompt.map(() => [1, 2]), /2 logits a token, expected 200/],
  ];
  for (const [logits, detail] of results) {
    const { checks } = level(await conformance({ logits: logits! }, { levels: [1] }), 1);
    expect(checks.find(({ passed }) => !passed)?.detail).toMatch(detail);
  }
  const nan = await conformance(
    { logits: (prompt) => rowsOf(0, prompt.length, (t) => (t > 200 ? Number.NaN : 1)) },
    { levels: [1] },
  );
  expect(level(nan, 1).hint).toMatch(/^NaN or infinite.*float16/);
  expect(conformanceText({ ...nan, pack: "\u001b[2J" })).not.toContain("\u001b");
});

test("a runtime that offers nothing doesn't pass", async () => {
  const report = await conformance({});
  expect(report.passed).toBe(false);
  expect(conformanceText(report)).toContain("Nothing was checked.");
});

test("our engine conforms", async () => {
  await using model = await load(join(GOLDEN, "model/checkpoint"), { dialect: "int16", tokenizer: false });
  const report = await conformance(modelRuntime(model.transformer), { precision: "int16" });
  expect(report.levels.flatMap(({ checks }) => checks.filter(({ passed }) => !passed))).toEqual([]);
  expect(level(report, 5).checks.every(({ detail }) => detail === "the same bits")).toBe(true);
});

describe("levels 3 and 4", () => {
  let golden: string;
  // a pack of fewer cases: test/tokenizer and test/harmony run them all
  beforeAll(async () => {
    golden = await mkdtemp(join(tmpdir(), "conformance-"));
    const some = async (path: string, keep: (i: number) => boolean) => {
      const lines = (await readFile(join(GOLDEN, path), "utf8")).trimEnd().split("\n");
      await writeFile(join(golden, path), lines.filter((_, i) => keep(i)).join("\n"));
    };
    await mkdir(join(golden, "tokenizer"));
    await mkdir(join(golden, "harmony"));
    await symlink(join(GOLDEN, "conformance"), join(golden, "conformance"));
    await some("tokenizer/cases.jsonl", (i) => i % 5 === 0);
    await some("harmony/conversations.jsonl", (i) => i % 9 === 0 || i < 20);
    await some("harmony/streams.jsonl", () => true);
    const runs = JSON.parse(await readFile(join(GOLDEN, "tokenizer/runs.json"), "utf8")) as unknown[];
    await writeFile(join(golden, "tokenizer/runs.json"), JSON.stringify(runs.slice(0, 2)));
  });
  afterAll(() => rm(golden, { recursive: true }));

  test("our tokenizer and Harmony conform", async () => {
    const report = await conformance(textRuntime(o200kHarmony()), { golden });
    expect(report.levels.flatMap(({ checks }) => checks.filter(({ passed }) => !passed))).toEqual([]);
    expect(report.levels.map(({ checks }) => checks.length)).toEqual([0, 0, 3, 3, 0]);
  });

  const right = () => textRuntime(o200kHarmony());
  const wrong: [string, () => Runtime, number, RegExp][] = [
    [
      "a token of beginning in front",
      () => ({ encode: async (text) => [199998, ...(await right().encode!(text))] }),
      3,
      /no beginning-of-text token/,
    ],
    [
      "digits one by one",
      () => ({
        encode: async (text) =>
          (await Promise.all((text.match(/\d|\D+/gu) ?? []).map((part) => right().encode!(part)))).flat(),
      }),
      3,
      /Digits|pattern/,
    ],
    [
      "a space too many",
      () => ({ decode: async (ids) => ` ${await right().decode!(ids)}` }),
      3,
      /no space is added/,
    ],
    [
      "all analysis kept",
      () => ({ render: (messages) => right().render!(messages, { dropAnalysis: false }) }),
      4,
      /Analysis ahead of the last final answer is dropped/,
    ],
    [
      "the assistant's turn begun",
      () => ({
        render: async (messages, options) => [...(await right().render!(messages, options)), 200006, 173781],
      }),
      4,
      /200006 173781/,
    ],
    [
      "channels lost",
      () => ({
        parse: async (ids, role) =>
          (await right().parse!(ids, role)).map(({ role, content }) => ({ role, content })),
      }),
      4,
      /A header is role/,
    ],
  ];
  test.each(wrong)("%s", async (_, runtime, n, hint) => {
    const report = await conformance(runtime(), { golden });
    expect(level(report, n)).toMatchObject({ status: "failed", hint: expect.stringMatching(hint) });
  });
});
