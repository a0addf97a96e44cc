/** What a check found out. */
export interface Finding {
  /** `name: value`, to be printed. */
  readonly lines: readonly string[];
  /** What isn't as it has to be; none if all is well. */
  readonly faults: readonly string[];
}

export interface Settings {
  /** Arguments of `gpt-oss serve`: the model, and what the engine needs. */
  readonly serve: readonly string[];
  /** Whether the model can chat; if not, it gets random ids, and its text is nobody's business. */
  readonly chats: boolean;
  readonly clients: number;
  /** At most; fewer where they would take more than `seconds`. */
  readonly rounds: number;
  readonly seconds: number;
  /** What is asked of a model that can't chat. */
  readonly ids: Ids;
  readonly requests: number;
}

export interface Ids {
  /** Tokens in a prompt, and in the answer. */
  readonly prompt: number;
  readonly answer: number;
  readonly vocabSize: number;
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

/** The median, and the range in brackets. */
export function shown(values: readonly number[]): string {
  const [middle, low, high] = [0.5, 0, 1].map((q) => Number(quantile(values, q).toPrecision(3)));
  return `${middle} (${low}–${high})`;
}

/** A prompt of pseudo-random ids, another one for each `i`. */
export function idsOf(i: number, { prompt, vocabSize }: Ids): number[] {
  return Array.from({ length: prompt }, (_, at) => (Math.imul(at + 1, 0x9e3779b1 + 2 * i) >>> 8) % vocabSize);
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** Does `work` with numbers from 0 to `count` − 1, so many at a time. */
export async function inParallel(
  workers: number,
  count: number,
  work: (i: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: workers }, worker));
}
