import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Program } from "./measurement.ts";

const exec = promisify(execFile);

/** What `gpt-oss bench --json` prints, as far as it is used here. */
interface Report {
  readonly load: { readonly seconds: number };
  readonly prefill: { readonly tokens: number; readonly tokensPerSecond: number };
  readonly decode: { readonly tokens: number; readonly tokensPerSecond: number };
  readonly peakRssBytes: number;
}

/** This project's built command line `cli` in one dialect, under the runtime (Node, Deno or Bun) at a path. */
export async function ours(runtime: string, cli: string, dialect: string): Promise<Program> {
  const { name, flags } = await identify(runtime);
  return {
    name: `gpt-oss-ts ${dialect}, ${name}`,
    ours: true,
    run: async ({ model, threads, prompt, gen, timeout }) => {
      const options = { threads, prompt, gen, dialect };
      const args = Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)]);
      const { stdout } = await exec(runtime, [...flags, cli, "bench", model, ...args, "--json"], { timeout });
      const report: Report = JSON.parse(stdout);
      if (report.prefill.tokens !== prompt || report.decode.tokens !== gen) {
        throw new Error(
          `ran ${report.prefill.tokens} + ${report.decode.tokens} tokens, not ${prompt} + ${gen}`,
        );
      }
      return {
        loadSeconds: report.load.seconds,
        prefill: report.prefill.tokensPerSecond,
        decode: report.decode.tokensPerSecond,
        peakRssBytes: report.peakRssBytes,
      };
    },
  };
}

/** Which runtime it is, by what it says, and what goes ahead of the script. */
async function identify(runtime: string): Promise<{ name: string; flags: string[] }> {
  const line = (await exec(runtime, ["--version"])).stdout.split("\n")[0]!.trim();
  if (line.startsWith("v")) return { name: `Node ${line.slice(1)}`, flags: [] };
  if (line.startsWith("deno")) return { name: `Deno ${line.split(" ")[1]}`, flags: ["run", "--allow-all"] };
  return { name: `Bun ${line}`, flags: [] };
}
