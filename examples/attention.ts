/**
 * What do the heads look at? For the "=" of "7+8=", each head's share for the sink, that is, for nothing, and the token that it reads
 * most. Some heads fetch the operands; a head with nothing to find gives most to its sink.
 *
 *     npx tsx examples/attention.ts [MODEL]
 */
import { chat, load } from "gpt-oss-ts";
import { renderForCompletion } from "gpt-oss-ts/harmony";
import { attentionHeads, runWithCache } from "gpt-oss-ts/interpret";

await using model = await load(process.argv[2] ?? "golden/small");
const tokenizer = model.requireTokenizer();
const question = [{ role: "user", content: "What is 47 + 38?" }] as const;
const ids = renderForCompletion(tokenizer, question);
for await (const { id } of chat(model, question, { temperature: 0 })) {
  ids.push(id);
  if (tokenizer.decode([id]) === "=") break;
}

const points = "layers.*.attn.weights,layers.*.attn.sink";
const percent = (share: number): string => `${(100 * share).toFixed(0)} %`.padStart(5);
for (const { layer, head, pattern, sink, toSink } of attentionHeads(
  await runWithCache(model, ids, { points }),
)) {
  const row = pattern.at(-1)!; // of the "="
  const best = row.indexOf(Math.max(...row));
  const around = JSON.stringify(tokenizer.decode(ids.slice(Math.max(0, best - 3), best)));
  const read = JSON.stringify(tokenizer.decode([ids[best]!]));
  console.log(
    `layer ${layer} head ${head}  sink ${percent(sink.at(-1)!)} (mean ${percent(toSink)})`,
    `  reads ${read} behind ${around}, ${percent(row[best]!)}`,
  );
}
