import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { mapWeights } from "../../src/checkpoint/weights.ts";
import type { ModelConfig } from "../../src/config.ts";
import { ReferenceEngine } from "../../src/engine/reference/index.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { relativeRms } from "../../src/oracle/checks.ts";
import { readTrace } from "../../src/oracle/trace-file.ts";
import { goldenChecks } from "../../src/oracle/verify.ts";

const golden = fileURLToPath(new URL("../../golden", import.meta.url));

describe("the engines agree with PyTorch, transformers and mpmath", () => {
  const checks = goldenChecks(golden);
  test.each(checks.map((check) => [`${check.group}: ${check.name}`, check] as const))(
    "%s",
    async (_name, check) => {
      const { error, tolerance, detail = "" } = await check.run();
      expect(error, detail).toBeLessThanOrEqual(tolerance);
    },
  );
});

describe("the golden model tells a wrong model from a right one", () => {
  const mutants: Record<string, { change?: (config: ModelConfig) => Partial<ModelConfig>; from: number }> = {
    "a window of 127": { change: () => ({ slidingWindow: 127 }), from: 127 },
    "a window of 129": { change: () => ({ slidingWindow: 129 }), from: 128 },
    "windows on the wrong layers": { change: () => ({ layerTypes: ["full", "sliding"] }), from: 128 },
    "truncated YaRN": { change: ({ rope }) => ({ rope: { ...rope, truncate: true } }), from: 1 },
    "no YaRN": { change: ({ rope }) => ({ rope: { ...rope, factor: 1 } }), from: 0 },
    "no clamp": { change: () => ({ swigluLimit: Number.POSITIVE_INFINITY }), from: 0 },
    "another alpha": { change: () => ({ swigluAlpha: 1.7 }), from: 0 },
    "another epsilon": { change: () => ({ rmsNormEps: 1e-4 }), from: 0 },
    "three experts of four": { change: () => ({ expertsPerToken: 3 }), from: 0 },
    "no bug": { from: Number.POSITIVE_INFINITY },
  };
  test.each(Object.entries(mutants))("%s", async (_name, { change, from }) => {
    const { config, weights, close } = await openCheckpoint(`${golden}/model/checkpoint`);
    const engine = new ReferenceEngine("f32");
    const loaded = await mapWeights(weights, (source) => engine.loadWeight(source));
    const model = new Transformer({ ...config, ...change?.(config) }, loaded, engine);
    const { ids } = JSON.parse(await readFile(`${golden}/model/ids.json`, "utf8")) as { ids: number[] };
    const logits = engine.read(await model.forward(ids, model.createCache())).data;
    const truth = (await readTrace(`${golden}/model/f64.safetensors`)).trace.get("logits")!.data;
    const vocab = config.vocabSize;
    const errors = ids.map((_, t) =>
      relativeRms(logits.subarray(t * vocab, (t + 1) * vocab), truth.subarray(t * vocab, (t + 1) * vocab)),
    );
    const firstWrong = errors.findIndex((error) => error > 2e-5);
    expect(firstWrong < 0 ? Number.POSITIVE_INFINITY : firstWrong).toBe(from);
    await close();
  });
});
