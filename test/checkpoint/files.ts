import { MemoryFile } from "../../src/checkpoint/file.ts";
import { type OpenCheckpoint, openCheckpointFiles } from "../../src/checkpoint/open.ts";
import { MemorySink, type SynthOptions, synthesize } from "../../src/checkpoint/synth/index.ts";
import type { EncodedRows, WeightSource, WeightSources } from "../../src/checkpoint/weights.ts";
import { mapWeights } from "../../src/checkpoint/weights.ts";
import { dequantize } from "../../src/engine/reference/dequantize.ts";

/** Files by name. */
export type Files = ReadonlyMap<string, Uint8Array>;

/** A synthetic checkpoint in memory. */
export async function synthetic(
  format: SynthOptions["format"],
  options: Partial<SynthOptions> = {},
): Promise<Files> {
  const sink = new MemorySink();
  await synthesize(sink, { shape: "nano", layers: 2, format, ...options });
  return sink.files;
}

export function openFiles(files: Files): Promise<OpenCheckpoint> {
  return openCheckpointFiles(Array.from(files, ([name, bytes]) => new MemoryFile(name, bytes)));
}

/** Files with one of them replaced, or removed. */
export function changed(files: Files, name: string, bytes: Uint8Array | undefined): Files {
  const copy = new Map(files);
  if (bytes === undefined) copy.delete(name);
  else copy.set(name, bytes);
  return copy;
}

/** A JSON file with some keys changed, or removed where the value is undefined. */
export function changedJson(files: Files, name: string, change: Record<string, unknown>): Files {
  const json = JSON.parse(new TextDecoder().decode(files.get(name)));
  return changed(files, name, new TextEncoder().encode(JSON.stringify({ ...json, ...change })));
}

/** A file in memory that counts what is asked of it. */
export class CountingFile extends MemoryFile {
  largestRead = 0;
  bytesRead = 0;
  closed = false;

  override read(offset: number, length: number): Promise<Uint8Array> {
    this.largestRead = Math.max(this.largestRead, length);
    this.bytesRead += length;
    return super.read(offset, length);
  }

  override async close(): Promise<void> {
    this.closed = true;
  }
}

/** All weights, in forward order. */
export async function listWeights(weights: WeightSources): Promise<WeightSource[]> {
  const list: WeightSource[] = [];
  await mapWeights(weights, (weight) => list.push(weight));
  return list;
}

/** Every value of every matrix of a weight, as float32. */
export async function readValues(weight: WeightSource): Promise<Float32Array[]> {
  const matrices: Float32Array[] = [];
  for (let matrix = 0; matrix < weight.matrices; matrix++) {
    matrices.push(dequantize(await weight.readRows(matrix, 0, weight.rows)));
  }
  return matrices;
}

/** The bytes of some rows cut from those of a whole matrix. */
export function cutRows(whole: EncodedRows, first: number, count: number): EncodedRows {
  const cut = (bytes: Uint8Array): Uint8Array => {
    const stride = bytes.length / whole.rows;
    return bytes.subarray(first * stride, (first + count) * stride);
  };
  const rows = { ...whole, rows: count, data: cut(whole.data) };
  return whole.scales === undefined ? rows : { ...rows, scales: cut(whole.scales) };
}

/** Where two lists of arrays part, to the bit, or undefined. (`toEqual` takes seconds for what takes milliseconds here.) */
export function difference(
  actual: readonly Float32Array[],
  expected: readonly Float32Array[],
): string | undefined {
  if (actual.length !== expected.length) return `${actual.length} arrays, not ${expected.length}`;
  for (const [n, a] of actual.entries()) {
    const b = expected[n]!;
    const i =
      a.length === b.length ? a.findIndex((x, i) => !Object.is(x, b[i])) : Math.min(a.length, b.length);
    if (i >= 0) return `[${n}][${i}] is ${a[i]}, not ${b[i]}`;
  }
  return undefined;
}

/** Whether two readings of rows are the same, to the byte. */
export function sameRows(a: EncodedRows, b: EncodedRows): boolean {
  const form = ({ encoding, rows, cols }: EncodedRows): string => `${encoding} ${rows} ${cols}`;
  const same = (x: Uint8Array, y: Uint8Array): boolean => Buffer.compare(x, y) === 0;
  const none = new Uint8Array(0);
  return form(a) === form(b) && same(a.data, b.data) && same(a.scales ?? none, b.scales ?? none);
}

/** The error that a promise is rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("nothing was refused");
}
