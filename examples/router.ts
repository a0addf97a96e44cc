/**
 * Who serves digits? Each layer's router on a few sums and sentences: how evenly it uses its experts, which of them get digits rather
 * than words, and which two are chosen together most.
 *
 *     npx tsx examples/router.ts [MODEL]
 */
import { load } from "gpt-oss-ts";
import { renderForCompletion } from "gpt-oss-ts/harmony";
import { routing, runWithCache } from "gpt-oss-ts/interpret";

await using model = await load(process.argv[2] ?? "golden/small");
const tokenizer = model.requireTokenizer();
const messages = [
  { role: "user", content: "What is 47 + 38?" },
  { role: "assistant", channel: "final", content: "47 + 38 = 85." },
  { role: "user", content: "Sort 45, 12, 99, 3." },
  { role: "assistant", channel: "final", content: "3, 12, 45, 99." },
  { role: "user", content: "Which is larger, 347 or 352?" },
] as const;

const activations = await runWithCache(model, renderForCompletion(tokenizer, messages), {
  points: "layers.*.moe.router_logits,layers.*.moe.expert_ids,layers.*.moe.expert_weights",
});
const classOf = (id: number): string => (/\d/.test(tokenizer.decode([id])) ? "digits" : "the rest");
const bars = (shares: readonly number[]): string =>
  shares.map((share) => "▁▂▃▄▅▆▇█"[Math.round((7 * share) / Math.max(...shares))]).join("");

for (const { layer, entropy, together, byClass } of routing(activations, classOf)) {
  const [digits, rest] = [byClass.get("digits")!, byClass.get("the rest")!];
  const leaning = digits.map((share, expert) => share - rest[expert]!);
  const most = leaning.indexOf(Math.max(...leaning));
  const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
  const pairs = together.flatMap((row, a) =>
    row.slice(0, a).map((share, b) => ({ share, name: `${b} and ${a}` })),
  );
  const [pair] = pairs.sort((p, q) => q.share - p.share);
  console.log(
    `layer ${layer}  digits ${bars(digits)}  the rest ${bars(rest)}  entropy ${entropy.toFixed(2)} bits;`,
    `expert ${most} gets ${percent(digits[most]!)} of what digits need, ${percent(rest[most]!)} of the rest;`,
    `${pair!.name} go together at ${percent(pair!.share)} of tokens`,
  );
}
