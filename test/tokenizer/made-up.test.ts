import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { tokenizerFromJson } from "../../src/checkpoint/synth/index.ts";
import { renderForCompletion, systemMessage } from "../../src/harmony/index.ts";
import { loadTokenizer, madeUpTokenizer, tokenizerFromGguf } from "../../src/tokenizer/index.ts";
import { o200kHarmony } from "./o200k.ts";

describe("a made-up tokenizer", () => {
  const json = madeUpTokenizer();
  const tokenizer = loadTokenizer(json, "made up");

  it("has a token for every id that o200k_harmony has one for, and the same special ones", () => {
    const real = o200kHarmony();
    expect(tokenizer.size).toBe(200_019);
    const specials = (of: typeof tokenizer): number[] =>
      Array.from({ length: 200_019 }, (_, id) => id).filter((id) => of.isSpecial(id));
    expect(specials(tokenizer)).toEqual(specials(real));
    for (const name of ["start", "channel", "message", "constrain", "end", "call", "return"])
      expect(tokenizer.specialId(`<|${name}|>`)).toBe(real.specialId(`<|${name}|>`));
    expect(tokenizer.bytes(199_997).length).toBe(4);
  });
  it("gives back every text, in GGUF as in JSON", () => {
    const { tokens, types, merges } = tokenizerFromJson(json, 201_088);
    const metadata = { model: "gpt2", pre: "gpt-4o", tokens, merges, tokenTypes: types };
    const gguf = tokenizerFromGguf(metadata, "made up");
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids)).toBe(text);
        expect(gguf.encode(text)).toEqual(ids);
      }),
      { seed: 9 },
    );
  });
  it("needs little more tokens than the real one for English", () => {
    const messages = [
      systemMessage(),
      { role: "user", content: "Why is the sky blue, and the grass green?" },
    ] as const;
    const count = (of: typeof tokenizer) => renderForCompletion(of, messages).length;
    expect(count(tokenizer)).toBeLessThan(2.5 * count(o200kHarmony()));
  });
});
