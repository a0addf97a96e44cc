import { open, rename, rm } from "node:fs/promises";
import { openNodeFile } from "../checkpoint/file-node.ts";
import { encodeSafetensorsHeader, readSafetensors } from "../checkpoint/safetensors.ts";
import type { HostTensor } from "../engine/ops.ts";
import { CheckpointError } from "../errors.ts";
import { decodeBfloat16, decodeFloat16 } from "../numerics/float.ts";
import type { Trace } from "./trace.ts";

/** A trace on disk is a safetensors file: activations as F32, ids as I32. */
export interface TraceFile {
  readonly trace: Trace;
  /** dialect, engine, checkpoint digest, package version, as far as the writer knew them. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Writes a trace; the file appears under its name only when it is complete. */
export async function writeTrace(
  path: string,
  trace: Trace,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const tensors = [...trace].map(([name, { shape, data }]) => {
    const values = data instanceof Float64Array ? Float32Array.from(data) : data;
    const dtype = values instanceof Int32Array ? "I32" : "F32";
    return { name, shape, dtype, bytes: values.byteLength, values };
  });
  const partial = `${path}.${process.pid}.partial`;
  const file = await open(partial, "w");
  try {
    await file.writeFile(encodeSafetensorsHeader(tensors, metadata));
    for (const { values } of tensors) {
      await file.writeFile(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
    await file.close();
    await rename(partial, path);
  } catch (error) {
    await file.close();
    await rm(partial, { force: true });
    throw error;
  }
}

/** Reads a safetensors file of numbers: F32, F64, F16, BF16 or I32 tensors. */
export async function readTrace(path: string): Promise<TraceFile> {
  const file = await openNodeFile(path);
  try {
    const { tensors, metadata } = await readSafetensors(file);
    const trace = new Map<string, HostTensor>();
    for (const { name, dtype, shape, offset, bytes } of tensors.values()) {
      const data = decode(dtype, await file.read(offset, bytes), `${path}, ${name}`);
      trace.set(name, { shape, data });
    }
    return { trace, metadata };
  } finally {
    await file.close();
  }
}

function decode(dtype: string, bytes: Uint8Array, where: string): HostTensor["data"] {
  const buffer = bytes.byteOffset === 0 ? bytes.buffer : bytes.slice().buffer;
  switch (dtype) {
    case "F32":
      return new Float32Array(buffer);
    case "F64":
      return new Float64Array(buffer);
    case "I32":
      return new Int32Array(buffer);
    case "BF16":
      return Float32Array.from(new Uint16Array(buffer), decodeBfloat16);
    case "F16":
      return Float32Array.from(new Uint16Array(buffer), decodeFloat16);
    case "U8":
      return Int32Array.from(bytes);
    case "I64":
      return Int32Array.from(new BigInt64Array(buffer), Number); // ids as PyTorch has them
    default:
      throw new CheckpointError("a trace holds no such type", {
        where,
        expected: "F32, F64, F16, BF16, U8, I32 or I64",
        found: dtype,
      });
  }
}
