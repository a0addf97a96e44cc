import { as3d, rowBytes, source } from "./sources.ts";
import type { StoredTensor } from "./tensors.ts";
import type { WeightSource } from "./weights.ts";

/** Bytes of a transposed matrix that are read at a time. */
const CHUNK_BYTES = 1 << 23;

/** Keeps the matrices transposed last: their rows are asked for in pieces, but each piece costs reading all of it. */
export class TransposeCache {
  readonly #entries: Map<string, Promise<Uint8Array>> = new Map();
  readonly #capacity: number;

  constructor(capacity = 2) {
    this.#capacity = capacity;
  }

  get(key: string, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const found = this.#entries.get(key) ?? load();
    this.#entries.delete(key); // the end of a Map's order is where the latest are
    this.#entries.set(key, found);
    found.catch(() => this.#entries.delete(key));
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#capacity) break;
      this.#entries.delete(oldest);
    }
    return found;
  }
}

/** A tensor [matrices, in, out] as matrices [out, in]. */
export function transposedSource(tensor: StoredTensor, cache: TransposeCache): WeightSource {
  const [matrices, inputs, outputs] = as3d(tensor.shape);
  const encoding = tensor.dtype === "F32" ? "f32" : tensor.dtype === "F16" ? "f16" : "bf16";
  const size = rowBytes(encoding, 1);
  const load = async (matrix: number): Promise<Uint8Array> => {
    const out = new Uint8Array(inputs * outputs * size);
    const rowsPerChunk = Math.max(1, Math.floor(CHUNK_BYTES / (outputs * size)));
    for (let first = 0; first < inputs; first += rowsPerChunk) {
      const rows = Math.min(rowsPerChunk, inputs - first);
      const bytes = await tensor.file.read(
        tensor.offset + (matrix * inputs + first) * outputs * size,
        rows * outputs * size,
      );
      if (size === 2)
        transpose(new Uint16Array(aligned(bytes)), rows, new Uint16Array(out.buffer), inputs, first);
      else transpose(new Uint32Array(aligned(bytes)), rows, new Uint32Array(out.buffer), inputs, first);
    }
    return out;
  };
  return source(
    { name: tensor.name, encoding, matrices, rows: outputs, cols: inputs },
    async (matrix, first, count) => {
      const whole = await cache.get(`${tensor.name} ${matrix}`, () => load(matrix));
      return { data: whole.subarray(first * inputs * size, (first + count) * inputs * size) };
    },
  );
}

/** out[o · inputs + first + i] = block[i, o], in tiles that stay in a core's cache. */
function transpose(
  block: Uint16Array | Uint32Array,
  rows: number,
  out: Uint16Array | Uint32Array,
  inputs: number,
  first: number,
): void {
  const outputs = block.length / rows;
  const tile = 64;
  for (let o0 = 0; o0 < outputs; o0 += tile) {
    const end = Math.min(o0 + tile, outputs);
    for (let i = 0; i < rows; i++) {
      for (let o = o0; o < end; o++) out[o * inputs + first + i] = block[i * outputs + o]!;
    }
  }
}

/** The bytes in a buffer of their own, for views of wider elements. */
function aligned(bytes: Uint8Array): ArrayBuffer {
  const whole = bytes.byteOffset === 0 && bytes.byteLength === bytes.buffer.byteLength;
  return (whole ? bytes.buffer : bytes.slice().buffer) as ArrayBuffer;
}
