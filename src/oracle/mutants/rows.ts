import type { HostTensor } from "../../engine/ops.ts";

/** Logits of some tokens as vectors that can be compared: a sample of their columns, each row less its mean. */
export interface Rows {
  /** Number of tokens. */
  readonly tokens: number;
  /** Values a token. */
  readonly width: number;
  readonly data: Float64Array;
}

/** Columns that stand for all: 20b's 201088 would need 480 MB a mutant, and an error is in all columns alike. */
const SAMPLED_COLUMNS = 2048;

/**
 * The last `tokens` rows of logits [T, vocab]. What a row as a whole is shifted by is lost, as it is in the softmax: log-probabilities
 * serve as well.
 *
 * @param vocab columns that both have
 */
export function rowsOf({ shape, data }: HostTensor, tokens: number, vocab: number): Rows {
  const [T, columns] = shape as [number, number];
  const width = Math.min(vocab, SAMPLED_COLUMNS);
  const out = new Float64Array(tokens * width);
  for (let t = 0; t < tokens; t++) {
    const row = (T - tokens + t) * columns;
    let sum = 0;
    for (let i = 0; i < width; i++) {
      const value = data[row + Math.floor((i * vocab) / width)]!;
      out[t * width + i] = value;
      sum += value;
    }
    for (let i = 0; i < width; i++) out[t * width + i]! -= sum / width;
  }
  return { tokens, width, data: out };
}

/** Root mean square of each row of a − b, or of a. */
export function rowDistances(a: Rows, b?: Rows): Float64Array {
  return Float64Array.from({ length: a.tokens }, (_, t) => {
    let sum = 0;
    for (let i = t * a.width; i < (t + 1) * a.width; i++) sum += (a.data[i]! - (b?.data[i] ?? 0)) ** 2;
    const distance = Math.sqrt(sum / a.width);
    return Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance;
  });
}

/** The value below which a share q of the values lies; NaN of none. */
export function quantile(values: ArrayLike<number>, q: number): number {
  if (values.length === 0) return Number.NaN;
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}
