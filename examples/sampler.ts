/**
 * A sampler that the library doesn't have: top-nσ (arXiv:2411.07641) keeps the tokens whose logits lie within n standard
 * deviations of the best one. Noise stays out at any temperature, so that hot sampling varies the text but not its sense.
 *
 *     npx tsx examples/sampler.ts [MODEL]
 */
import { chat, type GenerateOptions, load, sample } from "gpt-oss-ts";

/** What `sampler` in the options takes: from logits, which may be changed, to the id of the next token. */
function topNSigma(n: number, temperature: number, seed: number): NonNullable<GenerateOptions["sampler"]> {
  return (logits, position) => {
    const finite = Array.from(logits).filter(Number.isFinite); // a format forbids tokens by −∞
    const mean = finite.reduce((sum, x) => sum + x, 0) / finite.length;
    const sigma = Math.sqrt(finite.reduce((sum, x) => sum + (x - mean) ** 2, 0) / finite.length);
    const best = finite.reduce((a, b) => Math.max(a, b));
    for (const [id, logit] of logits.entries()) if (logit < best - n * sigma) logits[id] = -Infinity;
    return sample(logits, position, { temperature, seed }); // the draw is the library's
  };
}

await using model = await load(process.argv[2] ?? "golden/small");
const tokenizer = model.requireTokenizer();

async function answer(options: GenerateOptions): Promise<string> {
  const ids: number[] = [];
  const messages = [{ role: "user", content: "What is 47 + 38?" }] as const;
  for await (const { id } of chat(model, messages, { maxTokens: 100, ...options })) ids.push(id);
  return tokenizer.decode(ids);
}

const temperature = 3;
console.log(`plain, at temperature ${temperature}:\n${await answer({ temperature, seed: 1 })}\n`);
console.log(
  `top-nσ, at temperature ${temperature}:\n${await answer({ sampler: topNSigma(1, temperature, 1) })}`,
);
