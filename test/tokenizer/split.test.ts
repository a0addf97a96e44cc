import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { O200K_PATTERN, pieceEnd } from "../../src/tokenizer/split.ts";

// The pattern in JavaScript's terms: White_Space for \s, and contractions folded by hand.
const source = O200K_PATTERN.replaceAll(
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
  "(?:'(?:[sSſtTmMdD]|[rRvV][eE]|[lL][lL]))",
)
  .replaceAll("[^\\s", "[^\\p{White_Space}")
  .replaceAll("\\s", "\\p{White_Space}")
  .replaceAll("\\S", "\\P{White_Space}");

function pieces(text: string): string[] {
  const found: string[] = [];
  for (let start = 0; start < text.length; ) {
    const end = pieceEnd(text, start);
    found.push(text.slice(start, end));
    start = end;
  }
  return found;
}

describe("the split scanner", () => {
  it("cuts as the regular expression does", () => {
    // Few characters of every kind that the pattern tells apart, so that each alternative meets each other.
    const character = fc.constantFrom(
      ..."aBſsSlLrRevEtd'’/ .!1٣²日ªǅ\u0301\n\r\t\u0085\u00a0\u2028\ufeff💖𝒳𝟘\ud800\udc00",
    );
    fc.assert(
      fc.property(
        fc.oneof(fc.string({ unit: character, maxLength: 40 }), fc.string({ unit: "binary" })),
        (text) => {
          expect(pieces(text)).toEqual(text.match(new RegExp(source, "gu")) ?? []);
        },
      ),
      { numRuns: 20_000, seed: 1 },
    );
  });

  it("cuts a run of ten million characters, where a regular expression overflows the stack", () => {
    for (const unit of ["💖", "日", "A", " "]) {
      const text = unit.repeat(10_000_000 / unit.length);
      expect(pieceEnd(text, 0)).toBe(text.length);
    }
  });
});
