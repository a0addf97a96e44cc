import { EngineError } from "../../errors.ts";

const MEMORY_SECTION = 5;

/**
 * A copy of a WebAssembly module whose memory may grow to `maximumPages` of 64 KiB at most: a limit that the engine
 * itself keeps. The module must define one 32-bit memory with a maximum, as Pyodide's does.
 */
export function limitMemory(module: Uint8Array, maximumPages: number): Uint8Array<ArrayBuffer> {
  const limited = Uint8Array.from(module);
  let at = 8;
  const leb = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = limited[at++];
      if (byte === undefined || scale > 2 ** 28) throw unexpected("a number that ends");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < limited.length) {
    const section = limited[at++]!;
    const size = leb();
    if (section !== MEMORY_SECTION) {
      at += size;
      continue;
    }
    if (leb() !== 1 || limited[at++] !== 1) throw unexpected("one memory with a maximum");
    const minimum = leb();
    if (minimum > maximumPages) throw unexpected(`a memory of at most ${maximumPages} pages, not ${minimum}`);
    const field = at;
    const maximum = leb();
    let left = Math.min(maximum, maximumPages);
    // the new number fills the bytes of the old one, padded
    for (let i = field; i < at; i++) {
      limited[i] = (left & 127) | (i === at - 1 ? 0 : 128);
      left >>>= 7;
    }
    return limited;
  }
  throw unexpected("a memory section");
}

function unexpected(expected: string): EngineError {
  return new EngineError("Python's WebAssembly module can't be limited", { expected });
}
