/**
 * One SHA-256 over all activations, a line for each way to compute them: whatever runs this must print the same.
 *
 *     npm run build && node scripts/runtimes/digest.js       # or deno run -A, or bun
 */
import { readFile } from "node:fs/promises";
import { digestActivations } from "../../dist/oracle/digest.js";

const read = (path) => readFile(new URL(`../../golden/${path}`, import.meta.url));
for (const { digest, simd, run } of await digestActivations(read)) {
  console.log(`${digest}  SIMD ${simd}, ${JSON.stringify(run)}`);
}
