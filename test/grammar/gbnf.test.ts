import { describe, expect, test } from "vitest";
import { compile, GrammarError, gbnfGrammar } from "../../src/grammar/index.ts";
import { tokenizer } from "../support/scripted-model.ts";
import { acceptsText, randomNumbers, walk } from "./walk.ts";

const ARITHMETIC = `
# sums of products
root ::= sum
sum ::= product ( ("+" | "-") product )*   # no left recursion
product ::= factor ("*" factor)*
factor ::= [0-9]+ |
  "(" sum ")"
`;

describe.each([
  [ARITHMETIC, ["1", "1+2*3", "((1))*20-3"], ["", "1+", "(1", "1)", "1 + 2"]],
  ['root ::= "a" root "b" | ""', ["", "ab", "aaabbb"], ["a", "abb", "ba"]],
  ['root ::= "a" root "b" | "a" root "c" | "d"', ["d", "adb", "aadcb"], ["adbb", "aad"]],
  ['root ::= [^"\\\\\\n]{2,3}', ["ab", "é😀!"], ["a", "abcd", 'a"']],
  ['root ::= ("yes" | "no" "!"?){1,2} .', ["yes?", "no!yesX", "nono."], ["yes", "maybe"]],
  ['root ::= "\\x41\\u00e9\\U0001F600\\t\\"[]"', ['Aé😀\t"[]'], ["A"]],
  ['root ::= item+\nitem ::= "- " [a-z]+ "\\n"', ["- a\n- bc\n"], ["- a", "- \n"]],
  ['root ::= a a\na ::= ("x" | "")\n', ["", "x", "xx"], ["xxx"]],
  ['root ::= (a | b)*\na ::= "x"*\nb ::= "y"', ["", "xxyx", "y"], ["z"]],
  ["root::=[a-]\n\n\n", ["a", "-"], ["b"]],
])("%s", (source, yes, no) => {
  const constraint = compile(gbnfGrammar(source), tokenizer);
  test("accepts its texts and no others", () => {
    for (const text of yes) expect(acceptsText(constraint, tokenizer, text), text).toBe(true);
    for (const text of no) expect(acceptsText(constraint, tokenizer, text), text).toBe(false);
  });
});

test("random sums of products are such that JavaScript can evaluate them", () => {
  const constraint = compile(gbnfGrammar(ARITHMETIC), tokenizer);
  let ended = 0;
  for (let seed = 0; seed < 30; seed++) {
    const { text, ended: isWhole } = walk(constraint, tokenizer, randomNumbers(seed), 12, 80);
    if (!isWhole) continue;
    ended++;
    // leading zeros mean something else there
    expect(typeof new Function(`return ${text.replace(/\b0+(?=\d)/g, "")}`)()).toBe("number");
  }
  expect(ended).toBeGreaterThan(10);
});

test.each([
  ["", /no root \(line 1, column 1\)/],
  ['start ::= "a"', /no root/],
  ["root ::= other", /isn't defined \(line 1, column 10\): expected other ::= …/],
  ['root ::= "a', /isn't closed \(line 1, column 10\)/],
  ['root ::= "a"\nroot ::= "b"', /defined twice \(line 2, column 1\)/],
  ['root ::= ("a"', /a group isn't closed \(line 1, column 10\): expected \)/],
  ['root ::= "a")', /should end here \(line 1, column 13\)/],
  ['root ::= "a"{2,1}', /upside down/],
  ['root ::= "a"{x}', /not a number of times/],
  ['root ::= "a"**', /follows another/],
  ["root ::= [z-a]", /range is upside down/],
  ['root ::= "\\q"', /not an escape/],
  ['root ::= "\\U00110000"', /not an escape/],
  ['root = "a"', /not a rule/],
  ['root ::= root "a" | "b"', /begins with itself \(root\)/],
  ['root ::= a "x"\na ::= b? c\nb ::= "q"\nc ::= a "y" | "z"', /begins with itself \([ac]\)/],
  ['root ::= "a" root', /no text fulfils this/],
  [`root ::= ${"(".repeat(300)}"a"${")".repeat(300)}`, /nested deeper/],
])("%j is refused", (source, message) => {
  expect(() => gbnfGrammar(source)).toThrow(message);
  expect(() => gbnfGrammar(source)).toThrow(GrammarError);
});
