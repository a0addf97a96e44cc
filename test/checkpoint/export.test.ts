import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { checkpointDigest } from "../../src/checkpoint/digest.ts";
import { writeWhole } from "../../src/checkpoint/export/file-node.ts";
import { type GgufExportOptions, planGgufExport } from "../../src/checkpoint/export/gguf.ts";
import { type OpenCheckpoint, openCheckpoint } from "../../src/checkpoint/open.ts";
import { MemorySink } from "../../src/checkpoint/synth/sink.ts";
import { register as registerExport } from "../../src/cli/export.ts";
import { register as registerGenerate } from "../../src/cli/generate.ts";
import { loadTokenizer, tokenizerFromGguf } from "../../src/tokenizer/index.ts";
import { run } from "../cli/run.ts";
import { dequantised } from "./dequantised.ts";
import { changed, changedJson, difference, listWeights, openFiles, readValues, synthetic } from "./files.ts";

const SMALL = "golden/small";
const small = await openCheckpoint(SMALL);
afterAll(() => small.close());
const manifest = JSON.parse(await readFile("golden/gguf/manifest.json", "utf8"));

async function exported(
  checkpoint: OpenCheckpoint,
  options: GgufExportOptions = {},
): Promise<OpenCheckpoint> {
  const plan = await planGgufExport(checkpoint, options);
  const sink = new MemorySink();
  const file = await sink.create("model.gguf");
  await plan.write(file);
  await file.close();
  expect(sink.files.get("model.gguf")!.length).toBe(plan.bytes);
  return openFiles(sink.files);
}

/** As scripts/golden/gguf_export.py computes it. */
async function tensorsDigest({ tensors }: OpenCheckpoint): Promise<string> {
  const sha = createHash("sha256");
  for (const tensor of [...tensors.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    sha.update(`${tensor.name} ${tensor.dtype} ${tensor.shape.join(",")}\n`);
    sha.update(await tensor.file.read(tensor.offset, tensor.bytes));
  }
  return sha.digest("hex");
}

async function expectSameBits(a: OpenCheckpoint, b: OpenCheckpoint): Promise<void> {
  expect(b.config).toEqual(a.config);
  expect(await checkpointDigest(b)).toBe(await checkpointDigest(a));
  const [ours, theirs] = [await listWeights(a.weights), await listWeights(b.weights)];
  for (const [i, weight] of ours.entries()) {
    expect(difference(await readValues(theirs[i]!), await readValues(weight)), weight.name).toBeUndefined();
  }
}

const withTokenizer = async (format: "hf" | "original"): Promise<ReadonlyMap<string, Uint8Array>> =>
  changed(await synthetic(format), "tokenizer.json", await readFile(`${SMALL}/tokenizer.json`));

describe("a checkpoint exported as GGUF", () => {
  it.each(["bf16", "f16", "f32", "q8_0"] as const)(
    "has the tensors of llama.cpp's converter, to the bit, in %s",
    async (dense) => {
      expect(await tensorsDigest(await exported(small, { dense }))).toBe(manifest.tensors[dense]);
    },
  );
  it("has the metadata of llama.cpp's converter, but for its label of the size", async () => {
    const { gguf } = await exported(small, { name: "Small" });
    const found: Record<string, unknown> = {};
    for (const [key, item] of gguf!.values) {
      if (item.type !== "array") found[key] = item.value;
      else {
        const list = await (item.elementType === "string" ? gguf!.strings(key) : gguf!.int32s(key));
        const sha256 = createHash("sha256").update(list!.join("\n")).digest("hex");
        found[key] = { count: item.count, sha256 };
      }
    }
    const { "general.size_label": _, ...expected } = manifest.metadata;
    expect(found).toEqual(expected);
  });
  it("gives our loader the weights, configuration and tokenizer that it came from, to the bit", async () => {
    const gguf = await exported(small);
    await expectSameBits(small, gguf);
    await expectSameBits(small, await exported(gguf)); // and again, from the GGUF file
    const meta = gguf.gguf!;
    const tokenizer = tokenizerFromGguf(
      {
        model: meta.string("tokenizer.ggml.model"),
        pre: meta.string("tokenizer.ggml.pre"),
        tokens: (await meta.strings("tokenizer.ggml.tokens"))!,
        merges: (await meta.strings("tokenizer.ggml.merges"))!,
        tokenTypes: (await meta.int32s("tokenizer.ggml.token_type"))!,
      },
      "model.gguf",
    );
    const original = loadTokenizer(await small.readJson("tokenizer.json"), "tokenizer.json");
    const text = "What's 47 + 38?\n\n  Don't—naïve 日本語 💖<|start|>";
    expect(tokenizer.encode(text)).toEqual(original.encode(text));
  });
  it.each(["hf", "original"] as const)("may come from the layout %s", async (format) => {
    const checkpoint = await openFiles(await withTokenizer(format));
    await expectSameBits(checkpoint, await exported(checkpoint));
  });
  it("keeps experts that aren't quantised as they are", async () => {
    const files = await withTokenizer("hf");
    const plain = await openFiles(await dequantised(files, await openFiles(files), "BF16"));
    const gguf = await exported(plain);
    expect(gguf.tensors.get("blk.0.ffn_gate_exps.weight")!.dtype).toBe("BF16");
    await expectSameBits(plain, gguf);
  });
  it("takes the chat template along", async () => {
    const files = await withTokenizer("hf");
    const text = (name: string, content: string): ReadonlyMap<string, Uint8Array> =>
      changed(files, name, new TextEncoder().encode(content));
    const template = async (from: ReadonlyMap<string, Uint8Array>, options?: GgufExportOptions) =>
      (await exported(await openFiles(from), options)).gguf!.string("tokenizer.chat_template");
    expect(await template(files)).toBeUndefined();
    expect(await template(text("chat_template.jinja", "{{ 1 }}"))).toBe("{{ 1 }}");
    expect(await template(text("tokenizer_config.json", '{"chat_template": "{{ 2 }}"}'))).toBe("{{ 2 }}");
    expect(await template(files, { chatTemplate: "{{ 3 }}" })).toBe("{{ 3 }}");
  });
  it.each([
    ["swiglu_limit", { swiglu_limit: 6 }, /clamp of SwiGLU can't be told in GGUF.*expected 7, found 6/],
    ["swiglu_alpha", { swiglu_alpha: 1.5 }, /alpha of SwiGLU can't be told in GGUF/],
    ["layer_types", { layer_types: ["full_attention", "full_attention"] }, /order of layers can't be told/],
    [
      "truncate",
      { rope_scaling: { rope_type: "yarn", factor: 32, original_max_position_embeddings: 256 } },
      /ramp of YaRN can't be told in GGUF.*expected not truncated/,
    ],
  ])("is refused where GGUF has no key for a setting: %s", async (_, change, message) => {
    const files = changedJson(await withTokenizer("hf"), "config.json", change);
    await expect(openFiles(files).then((checkpoint) => planGgufExport(checkpoint))).rejects.toThrow(message);
  });
  it("is refused without a tokenizer, or with one of another model", async () => {
    const files = await synthetic("hf");
    const attempt = async (from: ReadonlyMap<string, Uint8Array>) => planGgufExport(await openFiles(from));
    await expect(attempt(files)).rejects.toThrow(/no tokenizer .*expected tokenizer\.json/);
    const json = JSON.parse(await readFile(`${SMALL}/tokenizer.json`, "utf8"));
    json.added_tokens.push({ id: 4000, content: "<|far|>" });
    const far = changed(files, "tokenizer.json", new TextEncoder().encode(JSON.stringify(json)));
    await expect(attempt(far)).rejects.toThrow(/ids beyond the vocabulary.*below 2048, found 4000/);
  });
  it("is refused in float16 where a weight is too large for it", async () => {
    const { embedding } = small.weights;
    const large = new Float32Array(embedding.rows * embedding.cols).fill(70000);
    const readRows: typeof embedding.readRows = async (_, first, count) => ({
      ...{ encoding: "f32", rows: count, cols: embedding.cols },
      data: new Uint8Array(large.slice(first * embedding.cols, (first + count) * embedding.cols).buffer),
    });
    const weights = {
      ...small.weights,
      embedding: { ...embedding, encoding: "f32" as const, readRows },
    };
    const attempt = exported({ ...small, weights }, { dense: "f16" });
    await expect(attempt).rejects.toThrow(/float16 can't hold.*below 65520, found 70000.*--dense bf16/);
  });
});

describe("a file written whole", () => {
  it("leaves nothing behind where writing fails, and the old file as it was", async () => {
    const folder = await mkdtemp(join(tmpdir(), "export-"));
    try {
      const path = join(folder, "model.gguf");
      await writeFile(path, "old");
      const failing = writeWhole(path, 10, async (file) => {
        await file.write(new Uint8Array(4));
        throw new Error("no more");
      });
      await expect(failing).rejects.toThrow("no more");
      expect(await readdir(folder)).toEqual(["model.gguf"]);
      expect(await readFile(path, "utf8")).toBe("old");
      await writeWhole(path, 3, (file) => file.write(new TextEncoder().encode("new")));
      expect(await readFile(path, "utf8")).toBe("new");
      await expect(writeWhole(path, 2 ** 62, async () => {})).rejects.toThrow(/not enough room/);
      await expect(writeWhole(join(folder, "a", "b"), 1, async () => {})).rejects.toThrow(
        /can't write there/,
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("gpt-oss export", () => {
  it("writes a file that other commands take", async () => {
    const folder = await mkdtemp(join(tmpdir(), "export-"));
    try {
      const path = join(folder, "small.gguf");
      const args = ["export", SMALL, "--format", "gguf", "--dense", "q8_0"];
      const result = await run(registerExport, ...args, "--out", path, "--json");
      expect(JSON.parse(result)).toMatchObject({ out: path, tensors: 79, chatTemplate: false });
      const answer = await run(registerGenerate, "generate", "What is 47 + 38?", "--model", path, "--json");
      expect(JSON.parse(answer).text).toContain("85");
      const nowhere = run(registerExport, ...args, "--out", join(folder, "no", "where"));
      await expect(nowhere).rejects.toThrow(/can't write there/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
