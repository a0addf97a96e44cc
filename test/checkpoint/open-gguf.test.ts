import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/open.ts";
import { ggufParts } from "./edit.ts";
import { changed, type Files, openFiles, rejection, synthetic } from "./files.ts";
import { gguf, info, join, pair, TYPE, text, u32 } from "./gguf-bytes.ts";

let folder: string;
let ggufFiles: Files;

beforeAll(async () => {
  folder = await mkdtemp(joinPath(tmpdir(), "gpt-oss-"));
  ggufFiles = await synthetic("gguf");
});
afterAll(() => rm(folder, { recursive: true }));

describe("a GGUF file", () => {
  const name = "gpt-oss-nano-mxfp4.gguf";
  const architecture = (value: string): Uint8Array => pair("general.architecture", TYPE.string, text(value));

  it("of Ollama's early variant is refused with a hint", async () => {
    const error = await rejection(openFiles(new Map([[name, gguf({ pairs: [architecture("gptoss")] })]])));
    expect(error.message).toMatch(/expected gpt-oss, found gptoss.*Ollama/);
    const bytes = gguf({ pairs: [architecture("gpt-oss")], infos: [info("a", [32], 4, 0)], dataBytes: 18 });
    expect((await rejection(openFiles(new Map([[name, bytes]])))).message).toMatch(/Ollama/);
  });
  it.each<[string, Uint8Array, RegExp]>([
    ["another architecture", gguf({ pairs: [architecture("llama")] }), /expected gpt-oss, found llama/],
    ["no architecture", gguf({}), /expected gpt-oss, found nothing/],
    [
      "an architecture that is a number",
      gguf({ pairs: [pair("general.architecture", TYPE.u32, u32(1))] }),
      /expected string, found u32/,
    ],
    ["no configuration", gguf({ pairs: [architecture("gpt-oss")] }), /is missing/],
  ])("is refused with %s", async (_, bytes, message) => {
    expect((await rejection(openFiles(new Map([[name, bytes]])))).message).toMatch(message);
  });
  it("is refused with a count of tokens that is not the embedding's", async () => {
    const tokenizer = { tokens: ["a", "b"], types: [1, 1], merges: [] };
    const files = await synthetic("gguf", { tokenizer });
    expect((await rejection(openFiles(files))).message).toMatch(
      /token_embd.*expected \[2, 64\], found \[2048, 64\]/,
    );
  });
  it("gives its tokenizer", async () => {
    const tokens = Array.from({ length: 2048 }, (_, i) => `t${i}`);
    const tokenizer = { tokens, types: tokens.map(() => 1), merges: ["t 1", "t 2"] };
    const { gguf: metadata } = await openFiles(await synthetic("gguf", { tokenizer }));
    expect(await metadata!.strings("tokenizer.ggml.tokens")).toEqual(tokens);
    expect(await metadata!.strings("tokenizer.ggml.merges")).toEqual(["t 1", "t 2"]);
    expect((await metadata!.int32s("tokenizer.ggml.token_type"))!.length).toBe(2048);
    expect(metadata!.string("tokenizer.ggml.pre")).toBe("gpt-4o");
    expect(metadata!.integer("tokenizer.ggml.eos_token_id")).toBeUndefined();
  });
  it("tells which tokens begin and end a text, as llama.cpp would otherwise guess", async () => {
    const tokens = Array.from({ length: 2048 }, (_, i) => `t${i}`);
    tokens.splice(7, 3, "<|startoftext|>", "<|endoftext|>", "<|return|>");
    const tokenizer = { tokens, types: tokens.map(() => 1), merges: [] };
    const { gguf: metadata } = await openFiles(await synthetic("gguf", { tokenizer }));
    const ids = ["bos", "padding", "eos"].map((name) => metadata!.integer(`tokenizer.ggml.${name}_token_id`));
    expect(ids).toEqual([7, 8, 9]);
  });
});

describe("a split GGUF file", () => {
  const part = (i: number): string => `m-0000${i}-of-00003.gguf`;
  const u16 = (key: string, value: number): Uint8Array =>
    pair(key, TYPE.u16, new Uint8Array(Uint16Array.of(value).buffer));
  const splitPairs = (no: number, count = 3): Uint8Array[] => [
    u16("split.no", no),
    u16("split.count", count),
  ];
  const total = (value: number): Uint8Array => pair("split.tensors.count", TYPE.i32, u32(value));

  /** The synthetic file cut in three: metadata and the first tensors; the others. */
  async function split(): Promise<Map<string, Uint8Array>> {
    const { pairs, tensors } = await ggufParts(ggufFiles);
    const files = new Map<string, Uint8Array>();
    const size = Math.ceil(tensors.length / 3);
    for (let i = 0; i < 3; i++) {
      const own = tensors.slice(i * size, (i + 1) * size);
      let offset = 0;
      const infos = own.map(({ name, dimensions, type, bytes }) => {
        const entry = info(name, dimensions, type, offset);
        offset += Math.ceil(bytes.length / 32) * 32;
        return entry;
      });
      const head = gguf({
        pairs: [...(i === 0 ? [...pairs, total(tensors.length)] : []), ...splitPairs(i)],
        infos,
      });
      const data = own.map(({ bytes }) => join(bytes, new Uint8Array((32 - (bytes.length % 32)) % 32)));
      files.set(part(i + 1), join(head, ...data));
    }
    return files;
  }

  it("is opened by any of its parts, or by its folder", async () => {
    for (const [name, bytes] of await split()) await writeFile(joinPath(folder, name), bytes);
    const whole = await openFiles(ggufFiles);
    for (const name of ["", part(1), part(3)]) {
      const checkpoint = await openCheckpoint(joinPath(folder, name));
      expect(checkpoint.files.length).toBe(3);
      expect(checkpoint.tensors.size).toBe(whole.tensors.size);
      expect(await checkpoint.weights.unembedding.readRows(0, 7, 2)).toEqual(
        await whole.weights.unembedding.readRows(0, 7, 2),
      );
      await checkpoint.close();
    }
  });
  it.each<[string, (files: Map<string, Uint8Array>) => Files, RegExp]>([
    [
      "a part missing",
      (files) => changed(files, part(2), undefined),
      /part of the model is missing.*00002-of-00003/,
    ],
    [
      "parts that changed places",
      (files) => new Map([...files, [part(2), files.get(part(3))!], [part(3), files.get(part(2))!]]),
      /contradicts its metadata.*part 3 of 3, found 2 of 3/,
    ],
    [
      "a part of another split",
      (files) => changed(files, part(3), gguf({ pairs: splitPairs(2, 4) })),
      /contradicts its metadata/,
    ],
    [
      "a part that is no part",
      (files) => changed(files, part(3), gguf({})),
      /contradicts its metadata.*part 1 of 1/,
    ],
    [
      "tensors missing in a part",
      (files) => changed(files, part(3), gguf({ pairs: splitPairs(2) })),
      /as many tensors as the first one says/,
    ],
    [
      "a tensor in two parts",
      (files) =>
        changed(
          files,
          part(3),
          gguf({ pairs: splitPairs(2), infos: [info("token_embd.weight", [4], 0, 0)], dataBytes: 16 }),
        ),
      /same name.*token_embd/,
    ],
  ])("is refused with %s", async (_, change, message) => {
    expect((await rejection(openFiles(change(await split())))).message).toMatch(message);
  });
  it("is refused under a plain name", async () => {
    const files = new Map([["m.gguf", (await split()).get(part(1))!]]);
    expect((await rejection(openFiles(files))).message).toMatch(
      /name contradicts its metadata.*part 1 of 3, found 1 of 1/,
    );
  });
});
