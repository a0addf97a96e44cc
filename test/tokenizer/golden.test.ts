import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { loadTokenizer, tokenizerFromGguf } from "../../src/tokenizer/index.ts";
import { o200kHarmony, ranksFile, tokenizerJson } from "./o200k.ts";

const read = (name: string) =>
  readFileSync(new URL(`../../golden/tokenizer/${name}`, import.meta.url), "utf8");
const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");

/** SHA-256 of ids as 32-bit little-endian numbers. */
function digest(ids: readonly number[]): string {
  const view = new DataView(new ArrayBuffer(4 * ids.length));
  ids.forEach((id, i) => {
    view.setUint32(4 * i, id, true);
  });
  return sha256(new Uint8Array(view.buffer));
}

/** The same choice of parts as in make_tokenizer.py. */
function mix(parts: readonly string[], seed: number, count: number): string {
  let state = seed;
  let text = "";
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    text += parts[Math.floor((state * parts.length) / 2 ** 32)];
  }
  return text;
}

const manifest: {
  ranks: { sha256: string };
  merges: { count: number; sha256: string };
  files: Record<string, string>;
} = JSON.parse(read("manifest.json"));
const cases: { text: string; ids: number[] }[] = read("cases.jsonl")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line));
const runs: { prefix: string; unit: string; times: number; suffix: string; count: number; sha256: string }[] =
  JSON.parse(read("runs.json"));
const mixes: { parts: string[]; mixes: { seed: number; parts: number; count: number; sha256: string }[] } =
  JSON.parse(read("mixes.json"));

describe("golden ids of tiktoken's o200k_harmony", () => {
  it("has the files that the manifest lists", () => {
    for (const [name, expected] of Object.entries(manifest.files))
      expect(sha256(read(name)), name).toBe(expected);
  });

  it("has the real ranks", () => {
    expect(sha256(ranksFile())).toBe(manifest.ranks.sha256);
  });

  it("encodes each text to the same ids", () => {
    const tokenizer = o200kHarmony();
    for (const { text, ids } of cases) expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
  });

  it("decodes the ids to the text, lone surrogates replaced", () => {
    const tokenizer = o200kHarmony();
    for (const { text, ids } of cases) expect(tokenizer.decode(ids)).toBe(wellFormed(text));
  });

  it("encodes long runs to the same ids", () => {
    const tokenizer = o200kHarmony();
    for (const { prefix, unit, times, suffix, count, sha256: expected } of runs) {
      const ids = tokenizer.encode(prefix + unit.repeat(times) + suffix);
      expect({ unit, count: ids.length, sha256: digest(ids) }).toEqual({ unit, count, sha256: expected });
    }
  });

  it("encodes random mixes to the same ids", () => {
    const tokenizer = o200kHarmony();
    for (const { seed, parts, count, sha256: expected } of mixes.mixes) {
      const ids = tokenizer.encode(mix(mixes.parts, seed, parts));
      expect({ seed, count: ids.length, sha256: digest(ids) }).toEqual({ seed, count, sha256: expected });
    }
  });
});

describe("other files of the same tokenizer", () => {
  const json = tokenizerJson();
  const sample = cases.filter((_, i) => i % 10 === 0);

  it("derives the merges of the published tokenizer.json from the ranks", () => {
    const { merges } = json.model;
    expect(merges.length).toBe(manifest.merges.count);
    expect(sha256(merges.map(([a, b]) => `${a} ${b}`).join("\n"))).toBe(manifest.merges.sha256);
  });

  it("reads tokenizer.json", () => {
    const tokenizer = loadTokenizer(json, "tokenizer.json");
    for (const { text, ids } of sample) expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.size).toBe(200019);
    expect(tokenizer.specialId("<|start|>")).toBe(200006);
    expect(tokenizer.specialId("<|endofprompt|>")).toBe(200018);
    expect(tokenizer.isSpecial(200018)).toBe(true);
    expect(tokenizer.isSpecial(199997)).toBe(false);
  });

  it("reads GGUF metadata, with unused ids at the end", () => {
    const names = Object.entries(json.model.vocab);
    const tokens = Array.from({ length: 201088 }, (_, id) => (id < 200019 ? `<|x${id}|>` : `[PAD${id}]`));
    for (const [letters, id] of names) tokens[id] = letters;
    tokens[200006] = "<|start|>";
    const tokenizer = tokenizerFromGguf(
      {
        model: "gpt2",
        pre: "gpt-4o",
        tokens,
        merges: json.model.merges.map((pair) => pair.join(" ")),
        tokenTypes: Int32Array.from(tokens, (_, id) => (id < 199998 ? 1 : id < 200019 ? 3 : 5)),
      },
      "model.gguf",
    );
    for (const { text, ids } of sample) expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.size).toBe(200019);
    expect(tokenizer.specialId("<|start|>")).toBe(200006);
    expect(tokenizer.decode([200006, 13225, 200019, 201087, 4_000_000])).toBe(
      "<|start|>Hello\ufffd\ufffd\ufffd",
    );
  });
});

function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}
