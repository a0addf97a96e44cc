import { mapWeights, type WeightSource, type WeightSources } from "../../src/checkpoint/weights.ts";
import type { ModelConfig } from "../../src/config.ts";
import type { HostTensor, Ops } from "../../src/engine/ops.ts";
import { Transformer } from "../../src/model/transformer.ts";
import type { Trace } from "../../src/oracle/trace.ts";

export async function transformer(
  ops: Ops,
  config: ModelConfig,
  weights: WeightSources,
): Promise<Transformer> {
  return new Transformer(
    config,
    await mapWeights(weights, (source, role) => ops.loadWeight(source, role)),
    ops,
  );
}

/** Where two tensors differ first, or undefined: 0 is not −0, and a NaN is any NaN. */
export function difference(actual: HostTensor, expected: HostTensor): string | undefined {
  if (actual.shape.join() !== expected.shape.join()) return `shape ${actual.shape}, not ${expected.shape}`;
  const [a, e] = [actual.data, expected.data];
  const at = e.findIndex((value, i) => !Object.is(a[i], value));
  return at < 0 ? undefined : `value ${at} is ${a[at]}, not ${e[at]}`;
}

/** The first point, in forward order, at which two traces differ. */
export function firstDifference(actual: Trace, expected: Trace): string | undefined {
  for (const [point, value] of expected) {
    const found = actual.get(point);
    const where = found ? difference(found, value) : "missing";
    if (where) return `${point}: ${where}`;
  }
  return undefined;
}

/** A weight in memory, its rows (of all matrices) alike in length. */
export function memorySource(
  form: Omit<WeightSource, "readRows" | "name">,
  data: Uint8Array,
  scales?: Uint8Array,
): WeightSource {
  const { encoding, matrices, rows, cols } = form;
  return {
    ...form,
    name: "weight",
    async readRows(matrix, first, count) {
      const part = (bytes: Uint8Array): Uint8Array => {
        const stride = bytes.length / (matrices * rows);
        return bytes.subarray((matrix * rows + first) * stride, (matrix * rows + first + count) * stride);
      };
      return { encoding, rows: count, cols, data: part(data), ...(scales && { scales: part(scales) }) };
    },
  };
}
