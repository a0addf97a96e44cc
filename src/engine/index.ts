import type { DialectName } from "../numerics/dialects.ts";
import type { Ops } from "./ops.ts";
import { ReferenceEngine } from "./reference/index.ts";
import { SimdEngine, type SimdOptions } from "./simd/index.ts";

export interface EngineOptions extends SimdOptions {
  /** Rounding points to follow. Default int16. */
  readonly dialect?: DialectName;
  /** `simd` computes int16 and int8, `reference` every dialect. Default: simd where it can. */
  readonly engine?: "simd" | "reference";
}

/** The engine that computes a dialect. */
export async function createEngine(options: EngineOptions = {}): Promise<Ops> {
  const { dialect = "int16", engine, kvCache } = options;
  if ((dialect === "int16" || dialect === "int8") && engine !== "reference") {
    return SimdEngine.create(dialect, options);
  }
  return new ReferenceEngine(dialect, kvCache && { kvCache });
}
