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
  readonly rounds: number;
  readonly requests: number;
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
