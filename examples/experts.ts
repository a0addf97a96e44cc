/**
 * Which experts work? A hook reads the router's choices in every layer while the model answers; the histogram shows how often
 * each expert was among the four that a token gets. A layer that used all alike would show an even row.
 *
 *     npx tsx examples/experts.ts [MODEL]
 */
import { chat, type Hooks, load } from "gpt-oss-ts";

await using model = await load(process.argv[2] ?? "golden/small");
const { numLayers, numExperts } = model.config;
const counts = Array.from({ length: numLayers }, () => new Array<number>(numExperts).fill(0));

const hooks: Hooks = {
  // a trace point's name, `*` for any layer; to return a tensor of the same shape would replace the choice
  "layers.*.moe.expert_ids": ({ data }, point) => {
    const layer = counts[Number(point.split(".")[1])]!;
    for (const expert of data) layer[expert]! += 1;
  },
};

const question = { role: "user", content: "What is 47 + 38?" } as const;
for await (const { delta } of chat(model, [question], { hooks })) process.stdout.write(delta);
console.log("\n");

for (const [layer, row] of counts.entries()) {
  const most = Math.max(...row);
  const bars = row.map((count) => "▁▂▃▄▅▆▇█"[Math.round((7 * count) / most)]).join("");
  const share = (100 * most) / row.reduce((a, b) => a + b);
  console.log(`layer ${layer}  ${bars}  ${share.toFixed(0)} % go to expert ${row.indexOf(most)}`);
}
