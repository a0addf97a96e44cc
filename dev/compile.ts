/** Kernels compiled in memory, and a memory to run them in. */
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import asc from "assemblyscript/asc";

export type Kernel = (...args: number[]) => void;

// as scripts/build-kernels.js has them
const OPTIONS =
  "-O3 --noAssert --runtime stub --importMemory --initialMemory 1 --maximumMemory 65536 --enable simd --enable threads --sharedMemory --enable relaxed-simd --disableWarning AS112";

/** @param source an AssemblyScript module, whose imports are relative to this folder */
export async function compile(source: string): Promise<WebAssembly.Module> {
  if (process.version.startsWith("v20.")) {
    setFlagsFromString("--experimental-wasm-relaxed-simd");
    setFlagsFromString("--no-liftoff"); // whose i32x4.relaxed_dot_i8x16_i7x16_add_s adds something else than its third operand
  }
  const entry = "dev/entry.ts";
  const root = new URL("..", import.meta.url);
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main([entry, "--outFile", "out.wasm", ...OPTIONS.split(" ")], {
    readFile: (name) =>
      name === entry ? source : readFile(new URL(name, root), "utf8").catch(() => null) /* asc tries names */,
    writeFile: (_name, contents) => {
      binary = contents as Uint8Array;
    },
  });
  if (error || !binary) throw new Error(stderr.toString());
  return WebAssembly.compile(new Uint8Array(binary));
}

/** A shared memory, as the engine has it, of which pieces are given out and never taken back. */
export class Bench {
  readonly memory: WebAssembly.Memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  /** The first page is for the kernels' tables. */
  #end = 65536;

  instantiate(module: WebAssembly.Module): Record<string, Kernel> {
    const { exports } = new WebAssembly.Instance(module, { env: { memory: this.memory } });
    return exports as unknown as Record<string, Kernel>;
  }

  allocate(bytes: number): number {
    const at = this.#end;
    this.#end += Math.ceil(bytes / 64) * 64;
    const missing = this.#end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 65536));
    return at;
  }

  place(data: ArrayBufferView): number {
    const at = this.allocate(data.byteLength);
    this.bytes(at, data.byteLength).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return at;
  }

  bytes(at: number, length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, at, length);
  }

  floats(at: number, length: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, length);
  }
}

/** Random numbers that are the same each time (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function randomBytes(length: number, next: () => number): Uint8Array {
  return Uint8Array.from({ length }, () => next() * 256);
}

/** Activations as they come: most near 0, a few far from it. */
export function randomFloats(length: number, next: () => number): Float32Array {
  return Float32Array.from({ length }, () => (next() - 0.5) * (next() < 0.02 ? 50 : 2));
}
