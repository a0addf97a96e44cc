import { CheckpointError } from "../errors.ts";
import type { RandomAccessFile } from "./file.ts";

/** A tensor as its container lists it. */
export interface StoredTensor {
  readonly name: string;
  /** In capitals, as safetensors and ggml name them: BF16, U8, F32, Q8_0, MXFP4, … */
  readonly dtype: string;
  /** Row-major, the outermost dimension first (GGUF stores them the other way round). */
  readonly shape: readonly number[];
  readonly file: RandomAccessFile;
  /** Of the first byte in the file. */
  readonly offset: number;
  readonly bytes: number;
}

export type TensorMap = ReadonlyMap<string, StoredTensor>;

/** The one list of several files' tensors. */
export function mergeTensors(parts: readonly TensorMap[]): TensorMap {
  const all = new Map<string, StoredTensor>();
  for (const part of parts) {
    for (const [name, tensor] of part) {
      const other = all.get(name);
      if (other !== undefined) {
        throw new CheckpointError("two files have a tensor of the same name", {
          where: `${name} in ${other.file.name} and ${tensor.file.name}`,
        });
      }
      all.set(name, tensor);
    }
  }
  return all;
}

/** Hands out a checkpoint's tensors to a layout by name, and knows which ones nobody asked for. */
export class TensorTable {
  readonly #tensors: TensorMap;
  readonly #taken: Set<string> = new Set();
  /** File or folder, for messages. */
  readonly #where: string;

  constructor(tensors: TensorMap, where: string) {
    this.#tensors = tensors;
    this.#where = where;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** The tensor of this name, which must have this shape and one of these types. */
  take(name: string, shape: readonly number[], dtypes: readonly string[] = DENSE_DTYPES): StoredTensor {
    const tensor = this.#tensors.get(name);
    if (tensor === undefined) {
      throw new CheckpointError("a tensor is missing", {
        where: this.#where,
        expected: name,
        hint: "Either a file of the checkpoint is missing, or the configuration belongs to another model.",
      });
    }
    this.#taken.add(name);
    const where = `${tensor.file.name}, ${name}`;
    if (tensor.shape.length !== shape.length || tensor.shape.some((size, i) => size !== shape[i])) {
      throw new CheckpointError("a tensor's shape contradicts the configuration", {
        where,
        expected: showShape(shape),
        found: showShape(tensor.shape),
      });
    }
    if (!dtypes.includes(tensor.dtype)) {
      throw new CheckpointError("a tensor has a type that this library can't use here", {
        where,
        expected: dtypes.join(" or "),
        found: tensor.dtype,
      });
    }
    return tensor;
  }

  /** Refuses tensors that are left over: a model that has them is not the one that we would run. */
  finish(): void {
    const left = [...this.#tensors.keys()].filter((name) => !this.#taken.has(name) && !HARMLESS.test(name));
    if (left.length === 0) return;
    const more = left.length > 3 ? ` and ${left.length - 3} more` : "";
    throw new CheckpointError("the checkpoint has tensors that gpt-oss doesn't", {
      where: this.#where,
      found: left.slice(0, 3).join(", ") + more,
      hint: "The configuration may belong to another model, or adapters may not have been merged.",
    });
  }
}

export const DENSE_DTYPES: readonly string[] = ["BF16", "F16", "F32"];

/** Tables that some writers save along, though they follow from the configuration. */
const HARMLESS = /(^|\.)rotary_emb\.inv_freq$/;

export function showShape(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}
