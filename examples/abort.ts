/**
 * Long work that can be watched and stopped: progress while the weights load and while the prompt is read, and signals that end
 * an answer: one behind a button, so to speak, and one that a clock gives.
 *
 *     npx tsx examples/abort.ts [MODEL]
 */
import { load } from "gpt-oss-ts";

await using model = await load(process.argv[2] ?? "golden/small", {
  onProgress: (done, total) => process.stderr.write(`\rloading: ${Math.floor((100 * done) / total)} %`),
});
process.stderr.write("\n");

const button = new AbortController();
const signal = AbortSignal.any([button.signal, AbortSignal.timeout(60_000)]);
const prompt = model.requireTokenizer().encode("one two three four five six seven eight ".repeat(20));
let count = 0;
try {
  for await (const { text } of model.generate(prompt, {
    stopTokens: [], // nothing ends it, short of the context's end
    chunkSize: 100, // small, so that there is progress to see
    onPrefill: (done, total) => console.log(`read ${done} of ${total} tokens`),
    signal,
  })) {
    process.stdout.write(text);
    if (++count === 100) button.abort();
  }
} catch (error) {
  if (!signal.aborted) throw error; // what else can go wrong is a GptOssError
  console.log(`\nstopped after ${count} tokens: ${signal.reason.message}`);
}
