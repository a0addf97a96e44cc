import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { register as inspect } from "../../src/cli/inspect.ts";
import { register as synth } from "../../src/cli/synth.ts";
import { CheckpointError, UsageError } from "../../src/errors.ts";
import { run } from "./run.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gpt-oss-"));
  for (const format of ["hf", "original", "gguf"]) {
    await run(synth, "synth", "--shape", "nano", "--format", format, "--out", join(folder, format));
  }
});
afterAll(() => rm(folder, { recursive: true }));

describe("synth", () => {
  const nano = (out: string, ...more: string[]): Promise<string> =>
    run(synth, "synth", "--shape", "nano", "--format", "hf", "--out", join(folder, out), ...more);

  it("writes a checkpoint with a tokenizer that fits", async () => {
    const files = (await readdir(join(folder, "hf"))).sort();
    expect(files).toEqual(["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]);
    const checkpoint = await openCheckpoint(join(folder, "gguf"));
    const tokens = await checkpoint.gguf!.strings("tokenizer.ggml.tokens");
    await checkpoint.close();
    const { model } = JSON.parse(await readFile(join(folder, "hf", "tokenizer.json"), "utf8"));
    expect(Object.entries(model.vocab).every(([token, id]) => tokens![id as number] === token)).toBe(true);
    expect(tokens!.length).toBe(2048);
  });
  it("tells what it wrote", async () => {
    expect(await nano("told")).toMatch(/750256 {2}.*told\/model.safetensors\n.*config.json\n/);
    const json = JSON.parse(await nano("json", "--json", "--layers", "1"));
    expect(json.files[0]).toEqual({ name: "model.safetensors", bytes: expect.any(Number) });
    expect(json.files.at(-1).name).toBe("tokenizer_config.json");
  });
  it("fills an empty folder, and leaves others alone", async () => {
    await mkdir(join(folder, "empty"));
    await nano("empty");
    expect((await readdir(join(folder, "empty"))).length).toBe(4);
    await mkdir(join(folder, "full"));
    await writeFile(join(folder, "full", "thesis.tex"), "");
    await expect(nano("full")).rejects.toThrow(/not empty.*found thesis.tex/);
    expect(await readdir(join(folder, "full"))).toEqual(["thesis.tex"]);
    await expect(nano("full/thesis.tex")).rejects.toThrow(UsageError);
  });
  it("leaves nothing behind where it fails", async () => {
    await expect(nano("seeds", "--seed", "4294967296")).rejects.toThrow(/seed is out of range/);
    const huge = run(
      synth,
      "synth",
      "--shape",
      "120b",
      "--layers",
      "1000",
      "--format",
      "hf",
      "--out",
      join(folder, "huge"),
    );
    await expect(huge).rejects.toThrow(/not enough room on the disk.*expected \d{13} bytes/);
    expect((await readdir(folder)).filter((name) => /seeds|huge|incomplete/.test(name))).toEqual([]);
  });
  it.each([
    ["an unknown shape", ["--shape", "7b"], /7b/],
    ["an unknown format", ["--format", "onnx"], /onnx/],
    ["no layers", ["--layers", "0"], /1 or more/],
    ["--dense with another format", ["--dense", "q8_0"], /--dense goes with/],
  ])("refuses %s", async (_, args, message) => {
    await expect(nano("refused", ...args)).rejects.toThrow(message);
  });
});

describe("inspect", () => {
  it.each(["hf", "original", "gguf"])("describes a checkpoint in the format %s", async (format) => {
    const text = await run(inspect, "inspect", join(folder, format));
    expect(text).toMatch(/4: 2 sliding \(window 16\), 2 full/);
    expect(text).toMatch(/8 of width 32, 4 a token/);
    expect(text).toMatch(/theta 10000, YaRN 32 × 256 \(beta 1 to 32\)/);
    expect(text).toMatch(/parameters +515,440/);
    expect(text).toMatch(/active +284,016 a token \(415,088 with the input embedding\)/);
    expect(text).toMatch(/\d+ tensors/);
    expect(text).toMatch(/KV cache +512 B a token/);
  });
  it("lists every tensor on request", async () => {
    const text = await run(inspect, "inspect", "--tensors", join(folder, "original"));
    expect(text).toMatch(/block\.3\.mlp\.mlp2_weight\.blocks +U8 +\[8, 64, 1, 16\] +8\.19 kB/);
  });
  it("prints JSON", async () => {
    const json = JSON.parse(await run(inspect, "inspect", "--json", join(folder, "gguf")));
    expect(json).toMatchObject({
      format: "gguf",
      config: { numLayers: 4, rmsNormEps: 1e-5 },
      parameters: { total: 515440, active: 284016 },
      kvCache: { bytesPerToken: 512, windowBytes: 8192 },
    });
    expect(json.tensors.length).toBe(4 * 19 + 3);
    expect(json.tensors[0]).toMatchObject({ name: "token_embd.weight", dtype: "BF16", shape: [2048, 64] });
    const { bytes } = json.files[0];
    expect(json.weightBytes).toBeLessThan(bytes);
    expect(json.kvCache.contexts.at(-1)).toEqual({ tokens: 8192, bytes: 8192 * 512 + 8192 });
  });
  it("refuses what is no checkpoint", async () => {
    await expect(run(inspect, "inspect", join(folder, "nowhere"))).rejects.toThrow(UsageError);
    await mkdir(join(folder, "nothing"));
    await expect(run(inspect, "inspect", join(folder, "nothing"))).rejects.toThrow(CheckpointError);
  });
});
