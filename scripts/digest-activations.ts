/**
 * One SHA-256 over all activations of the golden model in every dialect: whatever runs this must print the same.
 *
 *     npm run build && node scripts/digest-activations.ts       # Node 22.18 or newer; also deno run -A, bun
 *     npx tsx scripts/digest-activations.ts                     # older Node
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { load } from "../src/generation/model.ts";
import { trace } from "../src/oracle/trace.ts";

const golden = fileURLToPath(new URL("../golden/model", import.meta.url));
const { ids } = JSON.parse(await readFile(`${golden}/ids.json`, "utf8")) as { ids: number[] };
const hash = createHash("sha256");
for (const dialect of ["f64", "f32", "bf16-openai", "bf16-hf", "int16", "int8"] as const) {
  const model = await load(`${golden}/checkpoint`, { dialect, tokenizer: false });
  for (const [point, { data }] of await trace(model.transformer, ids)) {
    hash.update(point).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  await model.close();
}
console.log(hash.digest("hex"));
