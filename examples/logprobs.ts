/**
 * How sure was the model? Every token that had a serious rival, with the rivals' probabilities, reasoning included.
 *
 *     npx tsx examples/logprobs.ts [MODEL]
 */
import { chat, load } from "gpt-oss-ts";

await using model = await load(process.argv[2] ?? "golden/small");
const tokenizer = model.requireTokenizer();
const show = (id: number): string => JSON.stringify(tokenizer.decode([id]));
const percent = (logprob: number): string => `${(100 * Math.exp(logprob)).toFixed(1)} %`;

const question = { role: "user", content: "Sort 45, 12, 99, 3." } as const;
let written = "";
let total = 0;
for await (const { id, delta, logprob, topLogprobs } of chat(model, [question], { topLogprobs: 3 })) {
  total += logprob;
  if (logprob < Math.log(0.95)) {
    const rivals = topLogprobs.filter((rival) => rival.id !== id);
    const list = rivals.map((rival) => `${show(rival.id)} ${percent(rival.logprob)}`).join(", ");
    console.log(
      `…${JSON.stringify(written.slice(-20)).padEnd(25)} ${show(id)} ${percent(logprob)}; or ${list}`,
    );
  }
  written += delta;
}
console.log(`\n${written}\n\nprobability of the whole: e^${total.toFixed(2)}`);
