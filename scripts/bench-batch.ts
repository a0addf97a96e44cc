/**
 * Measures how many tokens a second sequences have together that are decoded at the same time.
 *
 *     npx tsx scripts/bench-batch.ts [MODEL] [--sequences 1,4,16] [--prompt N] [--gen N] [--rounds N] [--seconds N] [--dialect D] [--threads N] [--json]
 *
 * Each sequence has a prompt of its own and is drawn at temperature 1. The numbers of sequences take turns round by round;
 * ratios are taken within a round, since what a virtual machine gives changes from minute to minute. Without `--gen`, small models
 * generate 64 tokens, large ones 8. There are as many rounds as fit into `--seconds`, `--rounds` at most. `passes` computes the same with
 * nothing between the passes: no sampling, no text.
 */
import { parseArgs } from "node:util";
import { load, type Model } from "../src/index.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sequences: { type: "string", default: "1,4,16" },
    prompt: { type: "string", default: "32" },
    gen: { type: "string" },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "90" },
    dialect: { type: "string", default: "int16" },
    threads: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const counts = values.sequences.split(",").map(Number);
const [prompt, rounds, seconds] = [values.prompt, values.rounds, values.seconds].map(Number) as [
  number,
  number,
  number,
];

await using model = await load(positionals[0] ?? "golden/small", {
  dialect: values.dialect as "int16" | "int8",
  ...(values.threads && { threads: Number(values.threads) }),
});

const gen = Number(values.gen ?? (model.config.hiddenSize < 1024 ? 64 : 8));

const ids = (salt: number): number[] =>
  Array.from(
    { length: prompt },
    (_, i) => (Math.imul(i + 1, 0x9e3779b1 + salt * 2) >>> 8) % model.config.vocabSize,
  );

/** Tokens a second of so many sequences together, from when all have their first token. */
async function generating(model: Model, count: number): Promise<number> {
  const streams = Array.from({ length: count }, (_, seed) =>
    model.generate(ids(seed), { temperature: 1, topP: 1, topK: 0, seed, maxTokens: gen + 1, stopTokens: [] }),
  );
  await Promise.all(streams.map((stream) => stream.next()));
  const start = performance.now();
  await Promise.all(
    streams.map(async (stream) => {
      for await (const _ of stream);
    }),
  );
  return (count * gen * 1000) / (performance.now() - start);
}

async function passes({ transformer }: Model, count: number): Promise<number> {
  const caches = Array.from({ length: count }, () => transformer.createCache());
  const pass = (part: (i: number) => readonly number[]): Promise<unknown> =>
    Promise.all(caches.map((cache, i) => transformer.forward(part(i), cache, { lastOnly: true })));
  await pass(ids);
  const start = performance.now();
  for (let i = 0; i < gen; i++) await pass((j) => [(i * 7 + j) % 1000]);
  const seconds = (performance.now() - start) / 1000;
  for (const cache of caches) cache[Symbol.dispose]();
  return (count * gen) / seconds;
}

const measures = { generating, passes };
const results = Object.entries(measures).flatMap(([name, measure]) =>
  counts.map((count) => ({ name, count, measure, rates: [] as number[], ratios: [] as number[] })),
);
const start = performance.now();
let longest = 0;
for (let round = -1; round < rounds; round++) {
  const begin = performance.now();
  if (round > 0 && begin - start + longest > seconds * 1000) break;
  for (const result of results) {
    const rate = await result.measure(model, result.count);
    if (round >= 0) result.rates.push(rate); // the first one warms up
  }
  for (const result of round < 0 ? [] : results) {
    const one = results.find(({ name }) => name === result.name)!;
    result.ratios.push(result.rates.at(-1)! / one.rates.at(-1)!);
  }
  longest = Math.max(longest, performance.now() - begin);
}

if (values.json) console.log(JSON.stringify(results));
else {
  const shown = (numbers: number[]): string => {
    const sorted = numbers.toSorted((a, b) => a - b).map((x) => Number(x.toPrecision(3)));
    return `${sorted[Math.floor(sorted.length / 2)]} (${sorted[0]}–${sorted.at(-1)})`;
  };
  console.log(`${positionals[0] ?? "golden/small"}: ${values.dialect}, Node ${process.versions.node}`);
  console.log("| | sequences | tokens/s together | × the first |\n|---|---|---|---|");
  for (const { name, count, rates, ratios } of results) {
    console.log(`| ${name} | ${count} | ${shown(rates)} | ${shown(ratios)} |`);
  }
}
