/**
 * Rewrites the table in docs/structured-output.md: what of the JSON Schema Test Suite is supported.
 * `npx tsx scripts/grammar-coverage.ts`; with the argument `o200k`, the tokens are those of gpt-oss, and the table is only
 * checked: it doesn't depend on the tokens, except for the random texts.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { compile, GrammarError, jsonSchemaGrammar } from "../src/grammar/index.ts";
import { loadTokenizer } from "../src/tokenizer/index.ts";
import { suiteCases, validator, writings } from "../test/grammar/suite.ts";
import { acceptsText, randomNumbers, walk } from "../test/grammar/walk.ts";
import { o200kHarmony } from "../test/tokenizer/o200k.ts";

const isLarge = process.argv[2] === "o200k";
const WALKS = isLarge ? 4 : 20;
const file = new URL("../golden/small/tokenizer.json", import.meta.url);
const small = loadTokenizer(JSON.parse(readFileSync(file, "utf8")), "tokenizer.json");
const tokenizer = isLarge ? o200kHarmony() : small;

interface Row {
  schemas: number;
  supported: number;
  valid: number;
  accepted: number;
  invalid: number;
  wronglyAccepted: number;
  texts: number;
  wrongTexts: number;
}
const rows = new Map<string, Row>();
const row = (name: string): Row => {
  const found = rows.get(name) ?? {
    schemas: 0,
    supported: 0,
    valid: 0,
    accepted: 0,
    invalid: 0,
    wronglyAccepted: 0,
    texts: 0,
    wrongTexts: 0,
  };
  rows.set(name, found);
  return found;
};

let seed = 0;
for (const { file, schema, tests } of suiteCases()) {
  for (const counts of [row(file), row("**all**")]) counts.schemas++;
  let grammar: ReturnType<typeof jsonSchemaGrammar>;
  try {
    grammar = jsonSchemaGrammar(schema);
  } catch (error) {
    if (error instanceof GrammarError) continue;
    throw error;
  }
  const constraint = compile(grammar, tokenizer);
  const validate = validator(schema);
  const seen = {
    supported: 1,
    valid: 0,
    accepted: 0,
    invalid: 0,
    wronglyAccepted: 0,
    texts: 0,
    wrongTexts: 0,
  };
  for (const { data, valid } of tests) {
    const accepted = [...writings(data)].some((text) => acceptsText(constraint, tokenizer, text));
    seen[valid ? "valid" : "invalid"]++;
    if (accepted) seen[valid ? "accepted" : "wronglyAccepted"]++;
  }
  for (let i = 0; i < WALKS; i++) {
    const { text, ended } = walk(constraint, tokenizer, randomNumbers(seed++));
    if (!ended) continue;
    seen.texts++;
    if (!validate(JSON.parse(text))) seen.wrongTexts++;
  }
  for (const counts of [row(file), row("**all**")]) {
    for (const [name, count] of Object.entries(seen)) counts[name as keyof typeof seen] += count;
  }
}

const total = rows.get("**all**")!;
rows.delete("**all**");
const lines = [
  "| file | schemas supported | valid values accepted | invalid values accepted | random texts invalid |",
  "|---|---|---|---|---|",
  ...[...rows, ["**all**", total] as const].map(
    ([name, r]) =>
      `| ${name} | ${r.supported} of ${r.schemas} | ${r.accepted} of ${r.valid} | ${r.wronglyAccepted} of ${r.invalid} | ${r.wrongTexts} of ${r.texts} |`,
  ),
];
const docs = new URL("../docs/structured-output.md", import.meta.url);
const [before, , after] = readFileSync(docs, "utf8").split(/<!-- coverage -->\n/);
if (!isLarge)
  writeFileSync(docs, `${before}<!-- coverage -->\n${lines.join("\n")}\n<!-- coverage -->\n${after}`);
console.log(lines.at(-1));
