/**
 * Time of masks at the vocabulary of gpt-oss (201,088 ids), and of making ready: `npx tsx scripts/bench-grammar.ts [FILE]`,
 * where FILE is OpenAI's o200k_base.tiktoken; without it, the ranks come from the development dependency js-tiktoken.
 * What is measured once is the time of the processor, which other processes don't lengthen.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { Bench } from "tinybench";
import { compile, type Grammar, gbnfGrammar, jsonSchemaGrammar, regexGrammar } from "../src/grammar/index.ts";
import { vocabularyTrie } from "../src/grammar/trie.ts";
import { o200kHarmonySpecials, tokenizerFromTiktoken } from "../src/tokenizer/index.ts";
import { ranksFile } from "../test/tokenizer/o200k.ts";

const path = process.argv[2];
const ranks = path === undefined ? ranksFile() : readFileSync(path, "utf8");
const tokenizer = tokenizerFromTiktoken(ranks, o200kHarmonySpecials(), path ?? "js-tiktoken");

const record = {
  type: "object",
  properties: {
    name: { type: "string" },
    age: { type: "integer", minimum: 0, maximum: 150 },
    emails: { type: "array", items: { type: "string", format: "email" }, maxItems: 5 },
    bio: { type: "string", maxLength: 200 },
    status: { enum: ["active", "inactive", "pending"] },
  },
  required: ["name", "age", "emails", "bio", "status"],
  additionalProperties: false,
};
const recordText = JSON.stringify({
  name: "Ada Lovelace",
  age: 36,
  emails: ["ada@example.com", "a.lovelace@analytical-engine.org"],
  bio: "Wrote the first program, for a machine that was never built. Saw that numbers can stand for other things.",
  status: "active",
});
const wide = {
  type: "object",
  properties: Object.fromEntries(
    Array.from({ length: 200 }, (_, i) => [`field_${i}`, { anyOf: [record, { type: "null" }] }]),
  ),
};
const cases: [string, () => Grammar, string][] = [
  ["record of five properties", () => jsonSchemaGrammar(record), recordText],
  [
    "200 optional records",
    () => jsonSchemaGrammar(wide),
    `{"field_7":${recordText},"field_99":${recordText},"field_150":null}`,
  ],
  ["any JSON", () => jsonSchemaGrammar(true), `{"a":[${recordText},{"x":1.5e3}],"b":${recordText}}`],
  [
    "enum of 5,000 texts",
    () => jsonSchemaGrammar({ enum: Array.from({ length: 5000 }, (_, i) => `choice number ${i}`) }),
    '"choice number 4321"',
  ],
  [
    "regular expression",
    () => regexGrammar("(?:[A-Z][a-z]+ ){1,20}[a-z]+\\."),
    "Some Words That Begin With Big letters.",
  ],
  [
    "GBNF, nested sums",
    () => gbnfGrammar('root ::= t ("+" t)*\nt ::= [0-9]+ | "(" root ")"'),
    "((1+2)+3)+(444+5)",
  ],
];

const cpu = (): number => process.cpuUsage().user / 1000;
const start = cpu();
const trie = vocabularyTrie(tokenizer);
console.log(`Node ${process.version}, ${availableParallelism()} cores; vocabulary of ${tokenizer.size}`);
console.log(
  `tree of the vocabulary: ${trie.bytes.length} nodes, ${(cpu() - start).toFixed(0)} ms, once a process\n`,
);
console.log(
  "| grammar | compile ms | tokens | first mask of a place: median, worst ms | again: median, worst µs |",
);
console.log("|---|---|---|---|---|");
for (const [name, make, text] of cases) {
  const before = cpu();
  const constraint = compile(make(), tokenizer);
  const compiled = cpu() - before;
  const ids = tokenizer.encode(text);
  const pass = (now: () => number): number[] => {
    const matcher = constraint.start();
    return ids.map((id) => {
      const at = now();
      matcher.mask();
      const took = now() - at;
      if (!matcher.accept(id)) throw new Error(`${name}: ${tokenizer.decode([id])} is refused`);
      return took;
    });
  };
  const first = pass(cpu);
  const bench = new Bench({ time: 300, warmup: true });
  const again: number[] = ids.map(() => Number.POSITIVE_INFINITY);
  bench.add(name, () => {
    for (const [i, took] of pass(() => performance.now()).entries()) again[i] = Math.min(again[i]!, took);
  });
  await bench.run();
  const row = [
    name,
    compiled.toFixed(0),
    ids.length,
    `${median(first).toFixed(2)}, ${Math.max(...first).toFixed(1)}`,
  ];
  console.log(
    `| ${row.join(" | ")} | ${(median(again) * 1000).toFixed(1)}, ${(Math.max(...again) * 1000).toFixed(0)} |`,
  );
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}
