/**
 * Which experts add? One expert after the other is taken out of the routing, its tokens going to the next best, while the model
 * completes "7+8=". Most are not missed; the few that are say which layer does the sum.
 *
 *     npx tsx examples/ablation.ts [MODEL]
 */
import { chat, load } from "gpt-oss-ts";
import { renderForCompletion } from "gpt-oss-ts/harmony";
import { mostProbable, removeExperts, runWithCache } from "gpt-oss-ts/interpret";

await using model = await load(process.argv[2] ?? "golden/small");
const tokenizer = model.requireTokenizer();
const question = [{ role: "user", content: "What is 47 + 38?" }] as const;
const ids = renderForCompletion(tokenizer, question);
for await (const { id } of chat(model, question, { temperature: 0 })) {
  ids.push(id);
  if (tokenizer.decode([id]) === "=") break;
}

let missed = 0;
const { numLayers, numExperts } = model.config;
for (let layer = 0; layer < numLayers; layer++) {
  const answers: string[] = [];
  for (let expert = 0; expert < numExperts; expert++) {
    const hooks = removeExperts({ [layer]: [expert] });
    const logits = (await runWithCache(model, ids, { points: "logits", hooks })).get("logits")!;
    const [best] = mostProbable(logits.data.slice(-logits.shape[1]!), 1); // behind the last token
    const answer = tokenizer.decode([best!.id]);
    if (answer !== "15") missed++;
    answers.push(answer.padStart(4));
  }
  console.log(`layer ${layer}, without expert 0, 1, …:  7+8 =${answers.join("")}`);
}
console.log(`\n${missed} of ${numLayers * numExperts} experts are missed`);
