/** Runs in the browser: measures wllama on the file that was put into the page's input. */
import { tokenIds } from "./measurement.ts";

export interface PageTask {
  readonly threads: number;
  readonly prompt: number;
  readonly gen: number;
  readonly warmUp: { readonly prompt: number; readonly gen: number };
}

export interface PageResult {
  readonly loadSeconds: number;
  readonly prefill: number;
  readonly decode: number;
}

// What is used of wllama's types: the package is installed apart, and the project type-checks without it.
interface Wllama {
  loadModel(files: readonly Blob[], options: object): Promise<void>;
  getNumThreads(): number;
  createCompletion(options: object): Promise<unknown>;
}
interface Chunk {
  readonly timings?: { readonly prompt_n: number; readonly predicted_n: number };
}

/**
 * wllama takes text only. These are one token each, whatever stands around them, in every gpt-oss vocabulary, also in that
 * of a synthetic file, which has no others.
 */
const SPECIALS = [
  ...["<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>", "<|start|>"],
  ...["<|end|>", "<|message|>", "<|call|>", "<|endofprompt|>"],
  ...[0, 1, 4, 9, 10, 11, 13, 14, 15, 16, 17].map((i) => `<|reserved_${200000 + i}|>`),
];

async function measure(task: PageTask): Promise<PageResult> {
  const path = "/wllama.js";
  const module: { Wllama: new (paths: object) => Wllama } = await import(path);
  const wllama = new module.Wllama({ default: "/wllama.wasm" });
  const [file] = document.querySelector("input")!.files!;

  const loadStart = performance.now();
  await wllama.loadModel([file!], {
    n_ctx: Math.max(task.prompt + task.gen, task.warmUp.prompt + task.warmUp.gen) + 1,
    n_batch: 512,
    n_threads: task.threads,
    n_gpu_layers: 0,
    n_parallel: 1,
  });
  const loadSeconds = (performance.now() - loadStart) / 1000;
  if (wllama.getNumThreads() !== task.threads) throw new Error(`runs on ${wllama.getNumThreads()} threads`);

  await complete(wllama, task.warmUp);
  return { loadSeconds, ...(await complete(wllama, task)) };
}

/** Tokens per second of a prompt, to its first token, and of greedily chosen tokens after that. */
async function complete(
  wllama: Wllama,
  { prompt, gen }: { readonly prompt: number; readonly gen: number },
): Promise<{ prefill: number; decode: number }> {
  const times: number[] = [];
  let timings: Chunk["timings"];
  const start = performance.now();
  await wllama.createCompletion({
    prompt: tokenIds(prompt, SPECIALS.length)
      .map((i) => SPECIALS[i])
      .join(""),
    max_tokens: gen + 1,
    samplers: ["top_k"],
    top_k: 1,
    ignore_eos: true,
    cache_prompt: false,
    stream: true,
    onData: (chunk: Chunk) => {
      times.push(performance.now());
      timings = chunk.timings ?? timings;
    },
  });
  console.log(JSON.stringify(timings)); // llama.cpp's own, for --verbose
  if (timings?.prompt_n !== prompt || timings.predicted_n !== gen + 1 || times.length <= gen) {
    throw new Error(`asked for ${prompt} + ${gen + 1} tokens, got ${JSON.stringify(timings)}`);
  }
  return {
    prefill: (1000 * prompt) / (times[0]! - start),
    decode: (1000 * gen) / (times[gen]! - times[0]!),
  };
}

Object.assign(globalThis, { measure });
