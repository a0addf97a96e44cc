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

/**
 * The engine that computes a dialect.
 *
 * @param headDim of the model, if it is known: heads whose size is no multiple of 8 are the reference engine's
 */
export async function createEngine(options: EngineOptions = {}, headDim = 8): Promise<Ops> {
  const { dialect = "int16", engine = headDim % 8 === 0 ? "simd" : "reference", kvCache } = options;
  if ((dialect === "int16" || dialect === "int8") && engine === "simd")
    return SimdEngine.create(dialect, options);
  return new ReferenceEngine(dialect, kvCache && { kvCache });
}
