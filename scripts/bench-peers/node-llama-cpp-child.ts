/** Measures node-llama-cpp; started by node-llama-cpp.ts with a task as its argument, answers with a message. */
import { type Measurement, type Task, tokenIds, WARM_UP } from "./measurement.ts";

// What is used of node-llama-cpp's types: the package is installed apart, and the project type-checks without it.
interface Sequence {
  controlledEvaluate(input: readonly Input[]): Promise<(Output | undefined)[]>;
  clearHistory(): Promise<void>;
}
type Input =
  | number
  | readonly [token: number, options: { readonly generateNext: { readonly logits: Filter } }];
interface Filter {
  readonly filter: { readonly tokens: readonly number[] };
}
interface Output {
  readonly next: { readonly logits?: ReadonlyMap<number, number> };
}
interface Context {
  readonly currentThreads: number;
  getSequence(): Sequence;
}
interface Model {
  readonly fileInfo: { readonly metadata: { readonly tokenizer: { readonly ggml: { tokens: string[] } } } };
  createContext(options: object): Promise<Context>;
}
interface Llama {
  loadModel(options: object): Promise<Model>;
  dispose(): Promise<void>;
}

const task: Task = JSON.parse(process.argv[2]!);
const packageName = "node-llama-cpp";
const { getLlama }: { getLlama: (options: object) => Promise<Llama> } = await import(packageName);
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  maxThreads: 0, // no limit of its own: the context's number holds
  logLevel: "error",
});

const loadStart = performance.now();
const model = await llama.loadModel({ modelPath: task.model, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: Math.max(task.prompt + task.gen, WARM_UP.prompt + WARM_UP.gen),
  batchSize: 512,
  threads: { ideal: task.threads, min: task.threads },
  sequences: 1,
});
const loadSeconds = (performance.now() - loadStart) / 1000;
if (context.currentThreads !== task.threads) throw new Error(`runs on ${context.currentThreads} threads`);

const vocabSize = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
const sequence = context.getSequence();
await evaluate(WARM_UP.prompt, WARM_UP.gen);
await sequence.clearHistory();
const { prefill, decode } = await evaluate(task.prompt, task.gen);
const peakRssBytes = process.resourceUsage().maxRSS * 1024;
const measurement: Measurement = { loadSeconds, prefill, decode, peakRssBytes };
process.send!(measurement);
await llama.dispose();
process.disconnect();

/** Tokens per second of a prompt and of tokens after it, which are given too: nothing is sampled. */
async function evaluate(prompt: number, gen: number): Promise<{ prefill: number; decode: number }> {
  const ids = tokenIds(prompt + gen, vocabSize);
  const start = performance.now();
  await logitOf(ids.slice(0, prompt));
  const middle = performance.now();
  for (const id of ids.slice(prompt)) await logitOf([id]);
  const end = performance.now();
  return { prefill: (1000 * prompt) / (middle - start), decode: (1000 * gen) / (end - middle) };
}

/** Has all logits after the last token computed, as without sampling they wouldn't be, and looks at one. */
async function logitOf(ids: readonly number[]): Promise<void> {
  const last = ids.length - 1;
  const ask = { generateNext: { logits: { filter: { tokens: [0] } } } };
  const outputs = await sequence.controlledEvaluate(ids.map((id, i) => (i === last ? [id, ask] : id)));
  const logit = outputs[last]?.next.logits?.get(0);
  if (!Number.isFinite(logit)) throw new Error(`a logit is ${logit}`);
}
