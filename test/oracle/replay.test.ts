import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { register } from "../../src/cli/replay.ts";
import type { HostTensor } from "../../src/engine/ops.ts";
import { load, type Model } from "../../src/generation/model.ts";
import type { Hook } from "../../src/model/hooks.ts";
import type { DialectName } from "../../src/numerics/dialects.ts";
import { differing } from "../../src/oracle/checks.ts";
import { continueFrom, expertsFromJson, replay } from "../../src/oracle/replay.ts";
import { fitTheirs, forcing } from "../../src/oracle/theirs.ts";
import { type Trace, trace } from "../../src/oracle/trace.ts";
import { readTrace, writeTrace } from "../../src/oracle/trace-file.ts";
import { run } from "../cli/run.ts";

const golden = fileURLToPath(new URL("../../golden/model", import.meta.url));
const checkpoint = `${golden}/checkpoint`;
const open = (dialect: DialectName): Promise<Model> => load(checkpoint, { dialect, tokenizer: false });
const { ids } = JSON.parse(await readFile(`${golden}/ids.json`, "utf8")) as { ids: number[] };
const model = await open("f32");
afterAll(() => model.close());
const { config, transformer } = model;
const prompt = ids.slice(0, 20);
const right = await trace(transformer, prompt);
const folder = await mkdtemp(join(tmpdir(), "gpt-oss-replay-"));
afterAll(() => rm(folder, { recursive: true }));

const scaled: Hook = ({ shape, data }) => ({ shape, data: data.map((x) => x * 1.2) });
const swapped: Hook = ({ shape, data }) => ({ shape, data: Int32Array.from(data, (expert) => 7 - expert) });
const broken = await trace(transformer, prompt, { hooks: () => ({ "layers.0.attn.q": scaled }) });
const rerouted = await trace(transformer, prompt, { hooks: () => ({ "layers.*.moe.expert_ids": swapped }) });

const firstOf = (whole: Trace, n: number): Trace =>
  new Map(
    [...whole].map(([name, { shape, data }]): [string, HostTensor] => {
      const width = data.length / shape[0]!;
      return [name, { shape: [n, ...shape.slice(1)], data: data.slice(0, n * width) }];
    }),
  );

test("what follows a replaced residual stream has the bits of the run that it is from", async () => {
  const theirs = fitTheirs(broken, config);
  const replayed = await replay(transformer, theirs, { from: "layers.0.moe.residual" });
  for (const point of ["layers.1.attn.scores", "layers.1.moe.expert_ids", "layers.1.moe.residual", "logits"])
    expect(differing(replayed.get(point)!.data, broken.get(point)!.data), point).toBe(0);
  // ahead of it, all is ours
  expect(differing(replayed.get("layers.0.moe.out")!.data, right.get("layers.0.moe.out")!.data)).toBe(0);
});

test("PyTorch's activations, taken halfway, lead to PyTorch's logits", async () => {
  const { trace: whole } = await readTrace(`${golden}/f64.safetensors`);
  const points = /^(layers\.0\.moe\.residual|layers\.1\.moe\.expert_ids|logits|ids)$/;
  const short = firstOf(new Map([...whole].filter(([name]) => points.test(name))), 40);
  const theirs = fitTheirs(short, config);
  const result = await continueFrom(open, theirs, { dialect: "f64", from: "layers.0.moe.residual" });
  const logits = result.points.find(({ point }) => point === "logits")!;
  expect(logits.toTheirs).toBeLessThan(1e-7); // float32 is what the file holds
  expect(result.firstDiffering).toBeUndefined();
  expect(result.flips).toBe(0);
});

test("forced experts are theirs, and so is all that follows from them", async () => {
  const theirs = fitTheirs(rerouted, config);
  const plain = await replay(transformer, theirs, { from: "embedding" });
  const forced = await replay(transformer, theirs, { experts: theirs });
  for (const layer of [0, 1]) {
    const point = `layers.${layer}.moe.expert_ids`;
    expect(differing(forced.get(point)!.data, rerouted.get(point)!.data)).toBe(0);
    expect(differing(plain.get(point)!.data, rerouted.get(point)!.data)).toBeGreaterThan(0);
  }
  expect(differing(forced.get("logits")!.data, rerouted.get("logits")!.data)).toBe(0);
});

test("of a replacement for the first tokens, the others don't take anything ahead of it", async () => {
  const theirs = fitTheirs(
    new Map([
      ["ids", { shape: [20], data: Int32Array.from(prompt) }],
      ["layers.1.moe.norm", { shape: [5, 64], data: new Float32Array(5 * 64) }],
    ]),
    config,
  );
  const replayed = await replay(transformer, theirs, { from: "layers.1.moe.norm" });
  const rows = (whole: Trace, from: number, to: number): HostTensor["data"] =>
    whole.get("layers.1.moe.norm")!.data.slice(from * 64, to * 64);
  expect(rows(replayed, 0, 5).every((x) => x === 0)).toBe(true);
  expect(differing(rows(replayed, 5, 20), rows(right, 5, 20))).toBe(0);
});

test("chunks take their own part of what is replaced", async () => {
  const theirs = fitTheirs(broken, config);
  const pattern = "layers.*.attn.scores,layers.0.moe.residual";
  const hooks = (start: number) => ({ [pattern]: forcing(theirs, start) });
  const chunked = await trace(transformer, prompt, { chunkSize: 7, hooks });
  for (const point of ["layers.1.attn.scores", "logits"])
    expect(differing(chunked.get(point)!.data, broken.get(point)!.data), point).toBe(0);
});

test("a continuation tells whether the fault lies ahead of the point or behind it", async () => {
  const theirs = fitTheirs(broken, config);
  const ahead = await continueFrom(open, theirs, { dialect: "f32", from: "layers.0.attn.residual" });
  expect(ahead.firstDiffering).toBeUndefined();
  expect(ahead.points[0]!.point).toBe("layers.0.moe.norm");
  expect(ahead.points.at(-1)).toMatchObject({ point: "logits", toTheirs: 0 });
  expect(ahead.points.at(-1)!.withoutReplay).toBeGreaterThan(1e-3);
  const behind = await continueFrom(open, theirs, { dialect: "f32", from: "embedding" });
  expect(behind.firstDiffering!.point).toBe("layers.0.attn.q");
});

describe("expert choices from JSON", () => {
  const ofLayers = [
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ],
    [
      [1, 2, 3, 4],
      [7, 6, 5, 4],
    ],
  ]; // [layers][T][k]
  const ofTokens = [0, 1].map((t) => ofLayers.map((layer) => layer[t]!));

  test("by layer, or by token as vLLM returns them", () => {
    const a = expertsFromJson({ expert_ids: ofLayers }, "x.json");
    expect([...a.keys()]).toEqual(["layers.0.moe.expert_ids", "layers.1.moe.expert_ids"]);
    expect([...a.get("layers.1.moe.expert_ids")!.data]).toEqual([1, 2, 3, 4, 7, 6, 5, 4]);
    expect(expertsFromJson({ routed_experts: ofTokens }, "x.json")).toEqual(a);
    const weighted = expertsFromJson({ expert_ids: ofLayers, expert_weights: ofLayers }, "x.json");
    expect(weighted.get("layers.0.moe.expert_weights")!.shape).toEqual([2, 4]);
  });

  test.each([
    null,
    [[]],
    {},
    { expert_ids: [[1, 2]] },
    { expert_ids: [[[1], [1, 2]]] },
    { expert_ids: [[["1"]]] },
    { routed_experts: [] },
  ])("%j is refused", (json) => {
    expect(() => expertsFromJson(json, "x.json")).toThrow(
      /not expert choices \(x\.json, expert_ids|routed_experts/,
    );
  });
});

describe("gpt-oss replay", () => {
  const command = async (theirs: Trace, ...flags: string[]) => {
    const path = join(folder, "theirs.safetensors");
    await writeTrace(path, theirs, { dialect: "f32" });
    const output = await run(register, "replay", checkpoint, path, ...flags);
    const status = process.exitCode;
    process.exitCode = undefined;
    return { output, status };
  };

  test("says that what follows agrees, writes it, and exits with 0", async () => {
    const out = join(folder, "out.safetensors");
    const { output, status } = await command(broken, "--from", "layers.0.attn.residual", "--out", out);
    expect(status).toBeUndefined();
    expect(output).toMatch(/What follows layers\.0\.attn\.residual agrees with theirs/);
    const written = await readTrace(out);
    expect(differing(written.trace.get("logits")!.data, broken.get("logits")!.data)).toBe(0);
  });

  test("names the first point that differs, and exits with 1", async () => {
    const { output, status } = await command(broken, "--from", "embedding", "--json");
    expect(status).toBe(1);
    expect(JSON.parse(output)).toMatchObject({
      firstDiffering: { point: "layers.0.attn.q" },
      dialects: ["f32", "f64"],
    });
  });

  test("forces experts from a JSON file", async () => {
    const experts = [0, 1].map((layer) => {
      const { data } = rerouted.get(`layers.${layer}.moe.expert_ids`)!;
      return prompt.map((_, t) => [...data.slice(t * 4, t * 4 + 4)]);
    });
    const path = join(folder, "experts.json");
    await writeFile(path, JSON.stringify({ expert_ids: experts }));
    expect((await command(rerouted, "--force-experts", path)).output).toMatch(
      /What follows their experts agrees/,
    );
    await writeFile(path, "{}");
    await expect(command(rerouted, "--force-experts", path)).rejects.toThrow(/not expert choices/);
  });

  test("refuses a point that they don't have, and nothing at all", async () => {
    await expect(command(broken, "--from", "layers.7.moe.out")).rejects.toThrow(/no such point/);
    await expect(command(broken)).rejects.toThrow(/nothing to replay/);
  });
});
