import { DIALECTS } from "../numerics/dialects.ts";
import type { AnyTrace } from "./formats/index.ts";

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/**
 * The dialect that a trace was computed in: as its metadata say (ours name it, scripts/golden/capture.py names the type), or guessed from
 * whose names it has and whether its values are all bfloat16.
 */
export function dialectOf({ metadata, convention, format, trace }: AnyTrace): {
  name: string;
  guessed: boolean;
} {
  const said = metadata.get("dialect");
  if (said !== undefined && Object.hasOwn(DIALECTS, said)) return { name: said, guessed: false };
  const openai = convention === "openai" || /gpt.oss/.test(metadata.get("source") ?? "");
  const bfloat16 = openai ? "bf16-openai" : "bf16-hf";
  const dtype = metadata.get("dtype");
  if (dtype === "float64") return { name: "f64", guessed: false };
  if (dtype === "float32") return { name: "f32", guessed: false };
  if (dtype === "bfloat16") return { name: bfloat16, guessed: false };
  if (convention === "llama.cpp" || format === "llama.cpp text") return { name: "int8", guessed: true };
  return { name: isBfloat16(trace) ? bfloat16 : "f32", guessed: true };
}

/** Whether the first values of each activation of a layer have no more than bfloat16's bits. */
function isBfloat16(trace: AnyTrace["trace"]): boolean {
  let seen = false;
  for (const [point, { data }] of trace) {
    if (!point.startsWith("layers.") || data instanceof Int32Array) continue;
    for (const value of data.subarray(0, 64)) {
      float[0] = value;
      if (value !== float[0] || (bits[0]! & 0xffff) !== 0) return false;
      seen = true;
    }
  }
  return seen;
}
