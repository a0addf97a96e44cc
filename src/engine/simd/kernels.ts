/**
 * The compiled kernels (`assembly/`), in the variant that this JavaScript engine can run. Both variants give the same bits;
 * relaxed SIMD is faster. Either comes for shared memory, where threads can work, and for plain memory.
 */
import { EngineError } from "../../errors.ts";

/** Exports of the module, by the names that `assembly/` gives them: numbers in, results in memory. */
export type Kernels = Readonly<Record<KernelName, (...args: number[]) => void>>;

/** Kernels that jobs call by their index here. */
export const KERNEL_NAMES = [
  "add",
  "context_bf16",
  "context_f32",
  "exponentials",
  "highest",
  "matmul_bf16",
  "matmul_bf16_4",
  "matmul_f32",
  "matmul_f32_4",
  "matmul_mxfp4_baseline",
  "matmul_mxfp4_int16",
  "matmul_mxfp4_int16_2",
  "matmul_mxfp4_int8",
  "matmul_mxfp4_int8_2",
  "matmul_mxfp4_int8_tile",
  "matmul_mxfp4_tile",
  "matmul_q8_0_int16",
  "matmul_q8_0_int16_tile",
  "quantize",
  "quantize_q8_0_bf16",
  "quantize_q8_0_f32",
  "repack_bf16",
  "repack_f32",
  "repack_mxfp4",
  "repack_mxfp4_ggml",
  "repack_q8_0",
  "resize_bf16",
  "resize_f32",
  "rms_norm",
  "rotate",
  "scores_bf16",
  "scores_f32",
  "sink_softmax",
  "store_bf16",
  "store_f32",
  "swiglu",
  "tile",
  "weighted_sum",
] as const;

export type KernelName = (typeof KERNEL_NAMES)[number];

export interface KernelModule {
  readonly module: WebAssembly.Module;
  /** Whether it uses relaxed SIMD. */
  readonly relaxed: boolean;
  /** Whether it wants a shared memory. */
  readonly shared: boolean;
}

export type SimdVariant = "relaxed" | "baseline";

/** i32x4.relaxed_dot_i8x16_i7x16_add_s of three zeros, dropped. */
const RELAXED_PROBE: Uint8Array<ArrayBuffer> = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 20, 1, 18, 0, 65, 0, 253, 17, 65, 0, 253,
  17, 65, 0, 253, 17, 253, 147, 2, 26, 11,
]);

/**
 * Compiles the kernels.
 *
 * @param variant to force one; by default the better one that this JavaScript engine has
 */
export async function compileKernels(shared: boolean, variant?: SimdVariant): Promise<KernelModule> {
  const possible = await hasRelaxedSimd(); // asked in any case: it sets the flag of Node 20
  const relaxed = variant === undefined ? possible : variant === "relaxed";
  const key = `${relaxed} ${shared}`;
  let kernels = compiled.get(key);
  if (kernels === undefined) {
    kernels = compile(relaxed, shared);
    compiled.set(key, kernels);
  }
  return kernels;
}

/** One module serves all engines of a process. */
const compiled = new Map<string, Promise<KernelModule>>();

async function compile(relaxed: boolean, shared: boolean): Promise<KernelModule> {
  const name = `kernels-${relaxed ? "relaxed" : "baseline"}${shared ? "" : "-unshared"}.wasm`;
  const module = await WebAssembly.compile(await readKernels(name)).catch((cause: unknown) => {
    throw new EngineError("this JavaScript engine can't compile the kernels", {
      where: name,
      found: (cause as Error).message,
      hint: "They need WebAssembly SIMD. The reference dialects f32 and f64 run without.",
      cause,
    });
  });
  return { module, relaxed, shared };
}

async function hasRelaxedSimd(): Promise<boolean> {
  if (globalThis.process?.versions?.node?.startsWith("20.")) {
    // V8 11.3 has it behind a flag, which may be set until the first module that needs it is compiled
    const { setFlagsFromString } = await import("node:v8");
    if (!globalThis.process.versions["bun"] && !globalThis.process.versions["deno"])
      setFlagsFromString("--experimental-wasm-relaxed-simd");
  }
  return WebAssembly.validate(RELAXED_PROBE);
}

/** The package's own .wasm, in dist/, wherever this module runs from. */
async function readKernels(name: string): Promise<Uint8Array<ArrayBuffer>> {
  const url = import.meta.url.endsWith(".ts")
    ? new URL(`../../../dist/engine/simd/${name}`, import.meta.url)
    : new URL(`./${name}`, import.meta.url);
  if (url.protocol === "file:") {
    const { readFile } = await import("node:fs/promises");
    return new Uint8Array(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok)
    throw new EngineError("can't fetch the kernels", { where: url.href, found: response.status });
  return new Uint8Array(await response.arrayBuffer());
}
