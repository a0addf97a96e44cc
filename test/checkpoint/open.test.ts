import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join as joinPath } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BlobFile } from "../../src/checkpoint/file.ts";
import { openCheckpoint, openCheckpointFiles } from "../../src/checkpoint/open.ts";
import { readSafetensors } from "../../src/checkpoint/safetensors.ts";
import { CheckpointError, GptOssError } from "../../src/errors.ts";
import { type Change, edited } from "./edit.ts";
import { CountingFile, changed, changedJson, type Files, openFiles, rejection, synthetic } from "./files.ts";

let folder: string;
let hf: Files;
let original: Files;
let gguf: Files;
let sharded: Files;

beforeAll(async () => {
  folder = await mkdtemp(joinPath(tmpdir(), "gpt-oss-"));
  hf = await synthetic("hf");
  original = await synthetic("original");
  gguf = await synthetic("gguf");
  sharded = await synthetic("hf", { maxShardBytes: 200_000 });
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes files into a folder of their own, and returns its path. */
async function onDisk(name: string, files: Files): Promise<string> {
  for (const [file, bytes] of files) {
    const path = joinPath(folder, name, file);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, bytes);
  }
  return joinPath(folder, name);
}

/** A folder whose weights are a pipe, which whoever opens it waits for. */
async function withPipe(name: string): Promise<string> {
  const path = await onDisk(name, changed(hf, "model.safetensors", undefined));
  execFileSync("mkfifo", [joinPath(path, "model.safetensors")]);
  return path;
}

async function withLink(name: string): Promise<string> {
  const path = await onDisk(name, changed(hf, "model.safetensors", undefined));
  await symlink("../blobs/missing", joinPath(path, "model.safetensors"));
  return path;
}

describe("a path", () => {
  it("may be a folder in either layout, or one that has original/ in it", async () => {
    const inside = new Map(Array.from(original, ([name, bytes]) => [`original/${name}`, bytes]));
    for (const [path, format] of [
      [await onDisk("hf", hf), "hf"],
      [await onDisk("sharded", sharded), "hf"],
      [await onDisk("original-layout", original), "original"],
      [await onDisk("parent", inside), "original"],
      [await onDisk("both", new Map([...hf, ...inside])), "hf"],
      [await onDisk("gguf", gguf), "gguf"],
      [joinPath(await onDisk("gguf", gguf), "gpt-oss-nano-mxfp4.gguf"), "gguf"],
    ] as const) {
      const checkpoint = await openCheckpoint(path);
      expect(checkpoint.format).toBe(format);
      expect(checkpoint.config.numLayers).toBe(2);
      expect((await checkpoint.weights.norm.readRows(0, 0, 1)).cols).toBe(64);
      await checkpoint.close();
    }
  });
  it.each<[string, () => Promise<string>, RegExp]>([
    ["that doesn't exist", async () => joinPath(folder, "nowhere"), /can't open.*nowhere.*ENOENT/],
    [
      "to an empty folder",
      async () => (await mkdir(joinPath(folder, "e"))) ?? joinPath(folder, "e"),
      /no checkpoint here.*found nothing/,
    ],
    [
      "to a .safetensors file",
      async () => joinPath(await onDisk("hf", hf), "model.safetensors"),
      /Give the folder/,
    ],
    [
      "to a folder without config.json",
      () => onDisk("c", changed(hf, "config.json", undefined)),
      /no config.json beside them/,
    ],
    [
      "to a folder without weights",
      () => onDisk("w", changed(hf, "model.safetensors", undefined)),
      /no weights beside it/,
    ],
    ["to an adapter", () => onDisk("a", new Map([["adapter_config.json", new Uint8Array(2)]])), /merge it/],
    ["to pickled weights", () => onDisk("p", new Map([["pytorch_model.bin", new Uint8Array(2)]])), /Pickled/],
    ["with a pipe for weights", () => withPipe("pipe"), /not a regular file.*model.safetensors/],
    [
      "with a dangling link for weights",
      () => withLink("link"),
      /can't open the file.*model.safetensors.*ENOENT/,
    ],
    [
      "to two models",
      () =>
        onDisk(
          "2",
          new Map([
            ["a.gguf", new Uint8Array(2)],
            ["b.gguf", new Uint8Array(2)],
          ]),
        ),
      /Name one of the files: a.gguf, b.gguf/,
    ],
  ])("%s is refused", async (_, path, message) => {
    const error = await rejection(openCheckpoint(await path()));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("\n");
  });
});

describe("files at hand", () => {
  it("may be blobs", async () => {
    const blobs = Array.from(
      hf,
      ([name, bytes]) => new BlobFile(new Blob([bytes as Uint8Array<ArrayBuffer>]), name),
    );
    const { weights } = await openCheckpointFiles(blobs);
    const expected = (await openFiles(hf)).weights;
    expect(await weights.layers[1]!.attn.sinks.readRows(0, 0, 1)).toEqual(
      await expected.layers[1]!.attn.sinks.readRows(0, 0, 1),
    );
  });
  it("are closed when they are refused", async () => {
    const files = Array.from(
      changedJson(hf, "config.json", { head_dim: 17 }),
      ([name, bytes]) => new CountingFile(name, bytes),
    );
    await rejection(openCheckpointFiles(files));
    expect(files.every((file) => file.closed)).toBe(true);
  });
});

/** Changes that contradict the rest of the checkpoint, and what is said of them. */
describe("a checkpoint in Hugging Face's layout is refused", () => {
  it.each<[string, Record<string, unknown>, RegExp]>([
    [
      "too many layers",
      { num_hidden_layers: 3, layer_types: null },
      /tensor is missing.*expected model.layers.2/,
    ],
    [
      "too few layers",
      { num_hidden_layers: 1, layer_types: null },
      /tensors that gpt-oss doesn't.*model.layers.1.*and 16 more/,
    ],
    ["another vocabulary", { vocab_size: 2000 }, /embed_tokens.*expected \[2000, 64\], found \[2048, 64\]/],
    ["another width", { hidden_size: 96 }, /shape contradicts/],
    ["other heads", { num_attention_heads: 8 }, /shape contradicts.*q_proj|q_proj.*shape contradicts/],
    ["other key-value heads", { num_key_value_heads: 4 }, /k_proj/],
    ["other experts", { num_local_experts: 16 }, /router/],
    ["another expert width", { intermediate_size: 64 }, /gate_up_proj/],
    ["a width that MXFP4 can't have", { intermediate_size: 33 }, /gate_up_proj_bias|multiple of 32/],
  ])("with a config of %s", async (_, change, message) => {
    const error = await rejection(openFiles(changedJson(hf, "config.json", change)));
    expect(error).toBeInstanceOf(GptOssError);
    expect(error.message).toMatch(message);
  });

  const edits: [string, Change, RegExp][] = [
    ["a tensor missing", { drop: /layers\.1\.self_attn\.sinks/ }, /missing.*model.layers.1.self_attn.sinks/],
    [
      "an unknown tensor",
      { add: { name: "model.vision.weight", dtype: "BF16", shape: [2] } },
      /model.vision.weight/,
    ],
    ["a tensor of integers", { retype: [/sinks/, "I16"] }, /type.*expected BF16 or F16 or F32, found I16/],
    ["scales of another type", { retype: [/_scales/, "I8"] }, /expected U8, found I8/],
    [
      "another model's tensors",
      { rename: [/^model\./, "transformer."] },
      /not the tensors of a gpt-oss model/,
    ],
    ["no output matrix", { drop: /lm_head/ }, /missing.*lm_head/],
  ];
  it.each(edits)("with %s", async (_, change, message) => {
    const error = await rejection(openFiles(await edited(hf, change)));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
  });

  it("with an MXFP4 scale of 255, when it is read", async () => {
    const files = await edited(hf, { poke: [/layers\.0\.mlp\.experts\.down_proj_scales/, 64 * 3 + 5, 255] });
    const { weights } = await openFiles(files);
    const { weight } = weights.layers[0]!.moe.down;
    await weight.readRows(3, 0, 5);
    const error = await rejection(weight.readRows(3, 2, 10));
    expect(error.message).toMatch(/255.*down_proj_scales, matrix 3, row 5, block 0/);
  });
});

describe("a checkpoint in Hugging Face's layout may", () => {
  it("leave out the output matrix if it is tied to the embedding", async () => {
    const files = await edited(hf, { drop: /lm_head/ });
    const { weights } = await openFiles(changedJson(files, "config.json", { tie_word_embeddings: true }));
    expect(weights.unembedding).toBe(weights.embedding);
  });
  it("keep both, though it says that they are tied", async () => {
    const { weights } = await openFiles(changedJson(hf, "config.json", { tie_word_embeddings: true }));
    expect(weights.unembedding.name).toBe("lm_head.weight");
  });
  it("bring along tables of RoPE", async () => {
    const add = { name: "model.rotary_emb.inv_freq", dtype: "F32", shape: [8] };
    expect((await openFiles(await edited(hf, { add }))).config.numLayers).toBe(2);
  });
});

describe("an index", () => {
  const INDEX = "model.safetensors.index.json";
  const shardsOf = (files: Files): string[] =>
    [...files.keys()].filter((name) => name.endsWith(".safetensors"));

  it("is followed: other files in the folder don't count", async () => {
    const files = new Map([...sharded, ["other.safetensors", new Uint8Array(3)]]);
    expect((await openFiles(files)).files.length).toBe(shardsOf(sharded).length);
  });
  it("may be missing: then all .safetensors files count", async () => {
    const files = changed(sharded, INDEX, undefined);
    const checkpoint = await openFiles(files);
    expect(checkpoint.tensors.size).toBe(2 * 19 + 3);
    const twice = changed(files, "copy.safetensors", files.get(shardsOf(files)[0]!)!);
    expect((await rejection(openFiles(twice))).message).toMatch(/two files have a tensor of the same name/);
  });

  const weightMap = (): Record<string, string> =>
    JSON.parse(new TextDecoder().decode(sharded.get(INDEX))).weight_map;
  const withMap = (change: (map: Record<string, string>) => void): Files => {
    const map = weightMap();
    change(map);
    return changedJson(sharded, INDEX, { weight_map: map });
  };
  const raw = (json: string): Files => changed(sharded, INDEX, new TextEncoder().encode(json));
  const someTensor = "model.norm.weight";
  it.each<[string, () => Files, RegExp]>([
    ...[
      "../model.safetensors",
      "/etc/passwd.safetensors",
      "https://example.org/a.safetensors",
      "a/b.safetensors",
      "..\\a.safetensors",
      ".safetensors",
      "..safetensors",
      "C:a.safetensors",
      "a\u0000.safetensors",
      "model.bin",
      "",
      "a.safetensors/",
    ].map((path): [string, () => Files, RegExp] => [
      `the path ${JSON.stringify(path)}`,
      () => withMap((map) => Object.assign(map, { [someTensor]: path })),
      /index names something else than a shard.*plain name/,
    ]),
    [
      "a shard that isn't there",
      () => withMap((map) => Object.assign(map, { [someTensor]: "model-9.safetensors" })),
      /index names is missing.*model-9/,
    ],
    [
      "a tensor in another shard than it says",
      () => withMap((map) => Object.assign(map, { [someTensor]: map["model.layers.0.self_attn.sinks"] })),
      /lacks a tensor|doesn't place there/,
    ],
    [
      "a tensor that no shard has",
      () => withMap((map) => Object.assign(map, { more: map[someTensor] })),
      /lacks a tensor.*more/,
    ],
    [
      "a tensor left out",
      () => withMap((map) => void Reflect.deleteProperty(map, "model.layers.0.self_attn.sinks")),
      /doesn't place there.*layers.0.self_attn.sinks.*no entry/,
    ],
    ["a tensor listed twice", () => raw('{"weight_map":{"a":"a.safetensors","a":"b.safetensors"}}'), /twice/],
    ["no map", () => raw('{"metadata":{"total_size":1}}'), /no weight_map/],
    ["an empty map", () => raw('{"weight_map":{}}'), /no weight_map/],
    ["a list for a map", () => raw('{"weight_map":["a.safetensors"]}'), /an object/],
    ["a number for a shard", () => raw('{"weight_map":{"a":1}}'), /a string/],
    ["no JSON", () => raw("weight_map"), /an object/],
    ["deep nesting", () => raw(`{"metadata":${"[".repeat(1e5)}`), /nested too deeply/],
    [
      "bad scalars",
      () => raw('{"metadata":[1, -2.5e3, true, null, "x", {"y": nul}]}'),
      /not a JSON value, |not a JSON value/,
    ],
  ])("is refused with %s", async (_, files, message) => {
    const error = await rejection(openFiles(files()));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("\n");
  });
});

describe("config.json", () => {
  it.each<[string, Uint8Array, RegExp]>([
    ["no JSON", new TextEncoder().encode("{"), /not a JSON file/],
    ["invalid UTF-8", Uint8Array.of(0x22, 0xff, 0x22), /not a JSON file/],
    ["a list", new TextEncoder().encode("[]"), /expected an object/],
    ["nothing", new Uint8Array(0), /not a JSON file/],
    ["brackets without end", new TextEncoder().encode("[".repeat(1e5)), /not a JSON file/],
  ])("is refused as %s", async (_, bytes, message) => {
    expect((await rejection(openFiles(changed(hf, "config.json", bytes)))).message).toMatch(message);
  });
});

describe("reading", () => {
  it("fails clearly where a file has become shorter", async () => {
    const bytes = hf.get("model.safetensors")!;
    const path = joinPath(await onDisk("short", hf), "model.safetensors");
    const checkpoint = await openCheckpoint(dirname(path));
    await writeFile(path, bytes.subarray(0, bytes.length - 1000));
    const { unembedding } = checkpoint.weights;
    await expect(unembedding.readRows(0, unembedding.rows - 1, 1)).rejects.toThrow(
      /ends too early.*incomplete/,
    );
    await checkpoint.close();
  });
  it("takes no more than the header to open", async () => {
    const bytes = hf.get("model.safetensors")!;
    const file = new CountingFile("model.safetensors", bytes);
    await readSafetensors(file);
    expect(file.bytesRead).toBe(
      8 + Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true)),
    );
  });
});
