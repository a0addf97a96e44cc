/** What a program is asked to do: read the file, take in a prompt, then make tokens one at a time. */
export interface Task {
  /** Path of a GGUF file. */
  readonly model: string;
  readonly threads: number;
  /** Tokens of the prompt. */
  readonly prompt: number;
  /** Tokens to make after it. */
  readonly gen: number;
  /** Milliseconds after which a run is given up. */
  readonly timeout: number;
}

/** What one run of one program took. */
export interface Measurement {
  readonly loadSeconds: number;
  /** Tokens per second. */
  readonly prefill: number;
  /** Tokens per second. */
  readonly decode: number;
  /** The most memory that the process doing the work ever had resident, mapped files included. */
  readonly peakRssBytes: number;
}

export interface Program {
  readonly name: string;
  /** Whether it is this project's, so that the others are compared with it. */
  readonly ours: boolean;
  /** Runs once, from nothing to the end, with no state kept for the next run. */
  readonly run: (task: Task) => Promise<Measurement>;
}

/** Prompt and tokens that fill up caches and fault in pages before anything is timed. */
export const WARM_UP: { readonly prompt: number; readonly gen: number } = { prompt: 32, gen: 2 };

/** A fixed sequence of token ids, spread over the vocabulary; the same in every program. */
export function tokenIds(count: number, vocabSize: number, seed = 1): number[] {
  let state = seed;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes' generator
    return Math.floor((state / 2 ** 32) * vocabSize);
  });
}
