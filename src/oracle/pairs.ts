import type { HostTensor } from "../engine/ops.ts";
import type { SampledTensor } from "./formats/sampled.ts";
import { type Trace, tokenAxis } from "./trace.ts";

/** A stretch of values of one token that two activations both have. */
export interface Run {
  readonly token: number;
  /** Where it begins in each. */
  readonly a: number;
  readonly b: number;
  readonly length: number;
}

/** Which values of two activations belong together. */
export interface Pairs {
  /** Tokens of the longer one; runs name tokens by their place in it. */
  readonly tokens: number;
  readonly runs: () => Iterable<Run>;
  /** Said where not all tokens of both are compared. */
  readonly note?: string;
}

/**
 * Pairs the values of two activations. The model is causal, so that a shorter one is compared with the first tokens of the longer;
 * one of a single token, as runtimes make of the last tokens' logits, with the last. What experts computed is paired by expert,
 * whatever their ranks.
 *
 * @returns why they can't be paired, if they can't
 */
export function pairs(point: string, a: HostTensor, b: HostTensor, slots?: SlotPairs): Pairs | string {
  const axis = tokenAxis(point);
  const [Ta, Tb] = [a.shape[axis] ?? 1, b.shape[axis] ?? 1];
  const differ = `shapes differ: [${a.shape.join(", ")}] and [${b.shape.join(", ")}]`;
  const single = /^(logits|norm)$/.test(point) && Math.min(Ta, Tb) === 1;
  const T = Math.min(Ta, Tb);
  const [skipA, skipB] = single ? [Ta - 1, Tb - 1] : [0, 0];
  const tokens = Math.max(Ta, Tb);
  const note = Ta === Tb ? undefined : single ? "the last token only" : `the first ${T} tokens of ${tokens}`;
  if (axis === 1) {
    const [heads, headsB] = [a.shape[0]!, b.shape[0]!];
    const [keysA, keysB] = [a.shape[2] ?? 1, b.shape[2] ?? 1];
    const square = a.shape.length === 3 && b.shape.length === 3 && keysA === Ta && keysB === Tb;
    if (heads !== headsB || (!square && keysA !== keysB) || a.shape.length !== b.shape.length) return differ;
    return {
      tokens,
      ...(note && { note }),
      *runs() {
        for (let head = 0; head < heads; head++) {
          for (let t = 0; t < T; t++)
            yield {
              token: t,
              a: (head * Ta + t) * keysA,
              b: (head * Tb + t) * keysB,
              length: Math.min(keysA, keysB),
            };
        }
      },
    };
  }
  const [width, widthB] = [a.data.length / Ta, b.data.length / Tb];
  if (width !== widthB || !Number.isInteger(width)) return differ;
  const perSlot = slots && Number.isInteger(width / slots.k) ? width / slots.k : undefined;
  return {
    tokens,
    ...(note && { note }),
    *runs() {
      for (let t = 0; t < T; t++) {
        const [fromA, fromB] = [(t + skipA) * width, (t + skipB) * width];
        if (!slots || perSlot === undefined) {
          yield { token: t + Math.max(skipA, skipB), a: fromA, b: fromB, length: width };
          continue;
        }
        for (let rank = 0; rank < slots.k; rank++) {
          const other = slots.rankInA(t, rank);
          if (other >= 0)
            yield { token: t, a: fromA + other * perSlot, b: fromB + rank * perSlot, length: perSlot };
        }
      }
    },
  };
}

/** Pairs printed values with those of a whole activation. */
export function sampledPairs(point: string, a: SampledTensor, b: HostTensor): Pairs | string {
  const axis = tokenAxis(point);
  const count = a.shape.reduce((x, y) => x * y, 1);
  if (count !== b.data.length || a.shape[axis] !== b.shape[axis])
    return `shapes differ: [${a.shape.join(", ")}] and [${b.shape.join(", ")}]`;
  const T = b.shape[axis] ?? 1;
  const width = count / T / (axis === 1 ? b.shape[0]! : 1);
  return {
    tokens: T,
    note: `${a.values.length} values that were printed`,
    *runs() {
      for (let i = 0; i < a.values.length; i++) {
        const at = a.at[i]!;
        if (at < count) yield { token: Math.floor(at / width) % T, a: i, b: at, length: 1 };
      }
    },
  };
}

/** Which rank the expert of each (token, rank) of B has in A. */
export interface SlotPairs {
  readonly k: number;
  /** −1 where A chose another expert. */
  rankInA(token: number, rank: number): number;
}

/** For the points that experts compute: their ranks in both traces, if these say whom they chose. */
export function slotPairs(point: string, a: Trace, b: Trace): SlotPairs | undefined {
  const layer = /^(layers\.\d+\.moe)\.(?:expert_weights|gate_up|swiglu|down)$/.exec(point)?.[1];
  const [idsA, idsB] = [a.get(`${layer}.expert_ids`), b.get(`${layer}.expert_ids`)];
  const k = idsB?.shape.at(-1);
  if (!idsA || !idsB || !k || idsA.shape.at(-1) !== k) return undefined;
  return {
    k,
    rankInA(token, rank) {
      const expert = idsB.data[token * k + rank];
      const row = idsA.data.subarray(token * k, (token + 1) * k);
      return row.indexOf(expert!);
    },
  };
}
