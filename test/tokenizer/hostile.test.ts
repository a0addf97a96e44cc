import { describe, expect, it } from "vitest";
import { TokenizerError } from "../../src/errors.ts";
import {
  type GgufTokenizer,
  loadTokenizer,
  o200kHarmonySpecials,
  tokenizerFromGguf,
  tokenizerFromTiktoken,
} from "../../src/tokenizer/index.ts";
import { LETTERS, shell, type TokenizerJson } from "./o200k.ts";

/** A sound tokenizer of the 256 bytes, "ab", "abc" and one special token. */
function sound(): TokenizerJson {
  const json = shell();
  for (const [byte, letter] of LETTERS.entries()) json.model.vocab[letter] = byte;
  json.model.vocab["ab"] = 256;
  json.model.vocab["abc"] = 257;
  json.model.merges = [
    ["a", "b"],
    ["ab", "c"],
  ];
  json.added_tokens = [{ id: 258, content: "<|end|>", special: true }];
  return json;
}

/** What loading says once the value at a path, such as "model.vocab.ab", is set, or deleted for undefined. */
function message(path: string, value: unknown): string {
  const file: Record<string, unknown> = { tokenizer: sound() };
  const keys = `tokenizer.${path}`.split(".").filter((key) => key !== "");
  const last = keys.pop()!;
  const parent = keys.reduce((object, key) => object[key] as Record<string, unknown>, file);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return caught(() => loadTokenizer(file["tokenizer"], "t.json"));
}

function caught(load: () => unknown): string {
  try {
    load();
  } catch (error) {
    expect(error).toBeInstanceOf(TokenizerError);
    const { message } = error as TokenizerError;
    expect(message).not.toMatch(/[\r\n]/);
    expect(message.length).toBeLessThan(600);
    return message;
  }
  return "no error";
}

describe("tokenizer.json", () => {
  it("is read if sound, merges in either notation", () => {
    const json = sound();
    json["added_tokens"].push({ id: 300, content: "<|call|>", special: false });
    const tokenizer = loadTokenizer(json, "t.json");
    expect(tokenizer.encode("abcab<|end|>")).toEqual([
      257,
      256,
      ...[..."<|end|>"].map((c) => c.charCodeAt(0)),
    ]);
    expect(tokenizer.size).toBe(260);
    expect(tokenizer.isSpecial(300)).toBe(true);
    expect(tokenizer.decode([257, 300, 299])).toBe("abc<|call|>\ufffd");
    const old = { ...json, model: { ...json.model, merges: ["a b", "ab c"] } };
    expect(loadTokenizer(old, "t.json").encode("abc")).toEqual([257]);
  });

  it("takes a special token out of the ordinary ones if it is listed there too", () => {
    const json = sound();
    json.added_tokens = [{ id: 257, content: "abc", special: true }];
    const tokenizer = loadTokenizer(json, "t.json");
    expect(tokenizer.encode("abc")).toEqual([256, 99]);
    expect(tokenizer.decode([257])).toBe("abc");
    expect(tokenizer.size).toBe(258);
  });

  const split = "pre_tokenizer.pretokenizers.0";
  const byteLevel = "pre_tokenizer.pretokenizers.1";
  it.each<[string, string, unknown, string]>([
    ["null", "", null, "the tokenizer is missing or no object (t.json)"],
    ["an array", "", [], "the tokenizer is missing or no object"],
    ["a string", "", "{}", "the tokenizer is missing or no object"],
    ["an empty object", "", {}, "decoder is missing or no object"],
    ["a normalizer", "normalizer", { type: "NFC" }, "unsupported normalizer (t.json): expected none"],
    ["another decoder", "decoder.type", "Metaspace", "unsupported decoder"],
    ["no pre-tokenizer", "pre_tokenizer", null, "pre_tokenizer is missing or no object"],
    ["no steps", "pre_tokenizer.pretokenizers", undefined, "pretokenizers is missing or no array"],
    ["a catastrophic pattern", `${split}.pattern.Regex`, "(a+)+$", "unsupported split pattern"],
    ["a text as pattern", `${split}.pattern`, { String: " " }, "unsupported split pattern"],
    ["a removing split", `${split}.behavior`, "Removed", "unsupported split behavior"],
    ["an inverted split", `${split}.invert`, true, "unsupported inverted split pattern"],
    ["a prefix space", `${byteLevel}.add_prefix_space`, true, "unsupported add_prefix_space"],
    ["GPT-2's pattern", `${byteLevel}.use_regex`, true, "unsupported use_regex"],
    ["no model", "model", 1, "model is missing or no object"],
    ["another model", "model.type", "Unigram", "unsupported model (t.json): expected BPE, found Unigram"],
    ["merges ahead of tokens", "model.ignore_merges", false, "unsupported ignore_merges"],
    ["dropout", "model.dropout", 0.1, "unsupported dropout"],
    ["byte fallback", "model.byte_fallback", true, "unsupported byte_fallback"],
    ["an unknown token", "model.unk_token", "<unk>", "unsupported unk_token"],
    ["an array as vocabulary", "model.vocab", ["a"], "model.vocab is missing or no object"],
    ["a text as id", "model.vocab.ab", "256", "a token's id is out of range"],
    ["a negative id", "model.vocab.ab", -1, "expected an integer below 1048576, found -1"],
    ["a fractional id", "model.vocab.ab", 1.5, "found 1.5"],
    ["a huge id", "model.vocab.ab", 4294967295, "found 4294967295"],
    ["an id twice", "model.vocab.ab", 255, "two tokens have the same id"],
    ["a letter outside the alphabet", "model.vocab.日", 400, "byte alphabet (t.json): found 日"],
    ["a space in a token", "model.vocab.a b", 400, "byte alphabet"],
    ["a huge token", `model.vocab.${"a".repeat(1e6)}`, 400, "token 400 has a wrong length"],
    ["a missing byte", "model.vocab.!", undefined, "lacks a single byte"],
    ["no merges", "model.merges", null, "model.merges is missing or no array"],
    ["too few merges", "model.merges", [["a", "b"]], "no merge makes a token (t.json): found id 257"],
    ["merges out of order", "model.merges", ["ab c", "a b"], "merge 1 is out of the order of ids"],
    ["a merge into nothing", "model.merges.2", ["b", "c"], "merge 2 doesn't join"],
    ["a merge of three", "model.merges.2", ["a", "b", "c"], "merge 2 doesn't join"],
    ["a merge of numbers", "model.merges.2", [1, 2], "merge 2 doesn't join"],
    ["a merge with nothing", "model.merges.2", ["", "ab"], "merge 2 doesn't join"],
    ["a merge without a space", "model.merges.2", "ab", "merge 2 doesn't join"],
    ["null as a merge", "model.merges.2", null, "merge 2 doesn't join"],
    ["added tokens as object", "added_tokens", {}, "added_tokens is missing or no array"],
    ["null as an added token", "added_tokens.1", null, "an added token is missing"],
    ["a nameless special", "added_tokens.1", { id: 300 }, "special token 300 has no proper name"],
    ["an empty name", "added_tokens.1", { id: 300, content: "" }, "special token 300 has no proper name"],
    ["a name twice", "added_tokens.1", { id: 300, content: "<|end|>" }, "a special token is listed twice"],
    [
      "a special id twice",
      "added_tokens.1",
      { id: 258, content: "x" },
      "two special tokens have the same id",
    ],
    ["an ordinary id as special", "added_tokens.0.id", 256, "the id of an ordinary token"],
    ["a huge special id", "added_tokens.0.id", 2 ** 31, "a token's id is out of range"],
    ["a byte as special", "added_tokens.0", { id: 33, content: "!" }, "lacks a single byte"],
  ])("is refused with %s", (_, path, value, expected) => {
    expect(message(path, value)).toContain(expected);
  });

  it("is refused with an empty token", () => {
    const json = sound();
    json.model.vocab[""] = 400;
    expect(caught(() => loadTokenizer(json, "t.json"))).toContain("token 400 has a wrong length");
  });

  it("may have a token called __proto__", () => {
    const json = JSON.parse(JSON.stringify(sound()).replace('"abc":257', '"__proto__":257'));
    json.model.merges = [["a", "b"]];
    expect(caught(() => loadTokenizer(json, "t.json"))).toContain("no merge makes a token");
  });
});

describe("GGUF metadata", () => {
  const gguf = (): GgufTokenizer & { tokens: unknown[]; tokenTypes: number[] } => ({
    model: "gpt2",
    pre: "gpt-4o",
    tokens: [...LETTERS, "ab", "<|end|>", "[PAD258]"],
    merges: ["a b"],
    tokenTypes: [...LETTERS.map(() => 1), 1, 3, 5],
  });

  it("is read if sound", () => {
    const tokenizer = tokenizerFromGguf(gguf(), "m.gguf");
    expect(tokenizer.size).toBe(258);
    expect(tokenizer.encode("ab<")).toEqual([256, 60]);
    expect(tokenizer.decode([256, 257, 258])).toBe("ab<|end|>\ufffd");
  });

  it.each<[string, (g: ReturnType<typeof gguf>) => unknown, string]>([
    ["another model", (g) => ({ ...g, model: "llama" }), "unsupported tokenizer.ggml.model (m.gguf)"],
    ["another pattern", (g) => ({ ...g, pre: "llama-bpe" }), "unsupported tokenizer.ggml.pre"],
    ["no tokens", (g) => ({ ...g, tokens: undefined }), "tokens is missing or no array"],
    ["no merges", (g) => ({ ...g, merges: 7 }), "merges is missing or no array"],
    ["no types", (g) => ({ ...g, tokenTypes: undefined }), "token_type differs in length"],
    ["too few types", (g) => ({ ...g, tokenTypes: [1] }), "expected 259, found 1"],
    [
      "an unknown type",
      (g) => ({ ...g, tokenTypes: g.tokenTypes.with(5, 6) }),
      "token 5 has an unsupported type",
    ],
    [
      "a number as token",
      (g) => ({ ...g, tokens: g.tokens.with(5, 5) }),
      "token 5 isn't in GPT-2's byte alphabet",
    ],
    [
      "a number as special",
      (g) => ({ ...g, tokens: g.tokens.with(257, 5) }),
      "special token 257 has no proper name",
    ],
    ["a token twice", (g) => ({ ...g, tokens: g.tokens.with(5, "!") }), "two ids have the same token"],
  ])("is refused with %s", (_, change, expected) => {
    expect(caught(() => tokenizerFromGguf(change(gguf()) as GgufTokenizer, "m.gguf"))).toContain(expected);
  });
});

describe("a .tiktoken file", () => {
  const lines = LETTERS.map((_, byte) => `${btoa(String.fromCharCode(byte))} ${byte}`);
  const load = (more: string) => tokenizerFromTiktoken([...lines, more].join("\n"), new Map(), "r.tiktoken");

  it("is read if sound, with either line end", () => {
    expect(load("YWI= 256\r\n").encode("abc")).toEqual([256, 99]);
  });

  it.each([
    ["no base64", "a! 256", 'line 257 isn\'t "base64 rank"'],
    ["bad base64", "YWI 256=", "line 257"],
    ["wrong padding", "YWIxx= 256", "line 257 isn't base64"],
    ["no rank", "YWI=", "line 257"],
    ["a huge rank", "YWI= 9999999", "out of range"],
    ["an id twice", "YWI= 5", "two tokens have the same id"],
  ])("is refused with %s", (_, line, expected) => {
    expect(caught(() => load(line))).toContain(expected);
  });

  it("is refused if it lacks bytes", () => {
    expect(caught(() => tokenizerFromTiktoken("", o200kHarmonySpecials(), "r"))).toContain(
      "lacks a single byte",
    );
  });
});
