/**
 * Watch a sum appear. The model thinks "7+8=" and is about to write 15: the logit lens reads what it would say if it ended after
 * each layer. A middle layer has just copied an operand; the experts behind it add.
 *
 *     npx tsx examples/logit-lens.ts [MODEL]
 */
import { chat, load } from "gpt-oss-ts";
import { renderForCompletion } from "gpt-oss-ts/harmony";
import { logitLens, mostProbable, runWithCache } from "gpt-oss-ts/interpret";

await using model = await load(process.argv[2] ?? "golden/small");
const tokenizer = model.requireTokenizer();
const question = [{ role: "user", content: "What is 47 + 38?" }] as const;

// the prompt, and what the model thinks up to its first sum
const ids = renderForCompletion(tokenizer, question);
for await (const { id } of chat(model, question, { temperature: 0 })) {
  ids.push(id);
  if (tokenizer.decode([id]) === "=") break;
}
console.log(`${tokenizer.decode(ids.slice(-5))} …\n`);

const activations = await runWithCache(model, ids, { points: "embedding,layers.*.residual" });
for (const { point, logits } of await logitLens(model, activations)) {
  const guesses = mostProbable(logits.data, 3).map(({ id, probability }) => {
    return `${JSON.stringify(tokenizer.decode([id]))} ${(100 * probability).toFixed(0)} %`;
  });
  console.log(point.padEnd(24), guesses.join(", "));
}
