/**
 * Where does the operand sit? The clean prompt ends in "7+8=", the corrupt one in "7+6=". Each cell takes one token's residual stream
 * from the clean run, and shows how much of the answer's lead comes back, in per cent: first at the digit itself,
 * and, once attention has fetched it, at the "=".
 *
 *     npx tsx examples/patching.ts [MODEL]
 */
import { chat, load } from "gpt-oss-ts";
import { renderForCompletion } from "gpt-oss-ts/harmony";
import { logitDifference, patch } from "gpt-oss-ts/interpret";

await using model = await load(process.argv[2] ?? "golden/small");
const tokenizer = model.requireTokenizer();
const token = (text: string): number => tokenizer.encode(text)[0]!;
const question = [{ role: "user", content: "What is 47 + 38?" }] as const;

const clean = renderForCompletion(tokenizer, question);
for await (const { id } of chat(model, question, { temperature: 0 })) {
  clean.push(id);
  if (id === token("=")) break;
}
const corrupt = clean.slice();
corrupt[clean.length - 2] = token("6"); // in the place of the 8

const lastFour = clean.map((_, position) => position).slice(-4);
const { points, effects, positions } = await patch(model, clean, corrupt, {
  metric: logitDifference(token("15"), token("13")),
  points: "embedding,layers.*.residual",
  positions: lastFour,
});
const heading = positions.map((position) => tokenizer.decode([clean[position]!]).padStart(6));
console.log(" ".repeat(24) + heading.join(""));
for (const [i, point] of points.entries()) {
  const cells = effects[i]!.map((effect) => (100 * effect).toFixed(0).replace("-0", "0").padStart(6));
  console.log(point.padEnd(24) + cells.join(""));
}
