/**
 * Runs OpenAI's compatibility test for gpt-oss against the server, both APIs:
 *
 *     git clone --depth 1 https://github.com/openai/gpt-oss
 *     npx tsx scripts/compatibility/main.ts gpt-oss/compatibility-test
 *
 * Exit status 0: every answer had the right shape, and at least the share `--calls` of them had a valid call of the right
 * function. The test's own cases ask for what only the large models can do, so the small checkpoint has cases with
 * functions of the kind that it was trained for; `--cases openai` takes the test's own.
 *
 * With `--streaming` only chat completions are asked: the test looks for the events of responses one level too deep, and
 * can't find any.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string" },
    cases: { type: "string" },
    calls: { type: "string" },
    streaming: { type: "boolean", default: false },
    tries: { type: "string", default: "1" },
  },
});
const [suite] = positionals;
const cases = values.cases ?? (values.model === undefined ? "small" : "openai");
const leastCalls = Number(values.calls ?? "0.9");
if (suite === undefined || !["small", "openai"].includes(cases) || Number.isNaN(leastCalls)) {
  console.error(
    "usage: npx tsx scripts/compatibility/main.ts PATH/gpt-oss/compatibility-test [--model M] [--cases small|openai] [--calls SHARE] [--streaming] [--tries N]",
  );
  process.exit(2);
}

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "compatibility-"));
let server: ChildProcess | undefined;
try {
  cpSync(suite, folder, { recursive: true, filter: (path) => !/node_modules|rollout_|analysis_/.test(path) });
  if (cases === "small")
    for (const file of ["cases.jsonl", "tools.ts"]) cpSync(join(here, file), join(folder, file));
  execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], {
    cwd: folder,
    stdio: "inherit",
  });
  const listening = await listen();
  server = listening.process;
  writeFileSync(join(folder, "providers.ts"), providers(listening.url));
  const flags = ["--provider", "ours", "--tries", values.tries, ...(values.streaming ? ["--streaming"] : [])];
  execFileSync(process.execPath, ["--import", import.meta.resolve("tsx"), "index.ts", ...flags], {
    cwd: folder,
    stdio: "inherit",
    env: { ...process.env, CI: "true" }, // a line for each case, rather than a picture that moves
  });
  process.exitCode = isGood() ? 0 : 1;
} finally {
  server?.kill();
  rmSync(folder, { recursive: true, force: true });
}

/** The server on a free port, and its address as it prints it. */
async function listen(): Promise<{ process: ChildProcess; url: string }> {
  const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
  const model = values.model === undefined ? [] : ["--model", values.model];
  const flags = ["--port", "0", "--name", "gpt-oss", "--quiet"];
  const child = spawn(process.execPath, [main, "serve", ...flags, ...model], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /http:\S+\/v1/.exec(line)?.[0];
    if (url) return { process: child, url };
  }
  throw new Error("the server ended before it listened");
}

function providers(url: string): string {
  const apiType = values.streaming ? ["chat"] : ["responses", "chat"];
  // the small checkpoint, asked for what it doesn't know, may write until there is no room
  const providerDetails = values.model === undefined ? { max_tokens: 512, max_output_tokens: 512 } : {};
  const ours = { apiBaseUrl: url, apiKey: "none", apiType, modelName: "gpt-oss", providerDetails };
  return `export const PROVIDERS = ${JSON.stringify({ ours })};\n`;
}

/** A line of the test's record: a run, or a case that ended in an error. */
interface Run {
  readonly input: string;
  readonly error?: string;
  readonly result?: {
    readonly apiType: string;
    readonly validResponse: boolean;
    readonly validEvents: boolean;
    readonly successToolCall: boolean;
    readonly toolCallingDetails: {
      readonly calledToolWithRightArguments?: boolean;
      readonly warning?: string;
    };
  };
}

/** Tells what failed, and counts. */
function isGood(): boolean {
  const rollout = readdirSync(folder).find((name) => name.startsWith("rollout_"))!;
  const lines = readFileSync(join(folder, rollout), "utf8").trim().split("\n");
  const runs = lines.map((line) => JSON.parse(line) as Run);
  for (const { input, error, result } of runs) {
    if (error !== undefined) console.log(`error: ${input}  ${error}`);
    if (!result) continue;
    const { apiType, validResponse, validEvents, successToolCall, toolCallingDetails } = result;
    if (!validResponse || !validEvents) console.log(`wrong shape (${apiType}): ${input}`);
    if (!successToolCall) console.log(`no valid call (${apiType}): ${input}`);
    else if (toolCallingDetails.warning) console.log(`${apiType}: ${input}  ${toolCallingDetails.warning}`);
  }
  const results = runs.flatMap(({ result = [] }) => result);
  const errors = runs.length - results.length;
  let good = results.length > 0 && errors === 0;
  for (const api of new Set(results.map(({ apiType }) => apiType))) {
    const all = results.filter(({ apiType }) => apiType === api);
    const shapes = all.filter(({ validResponse, validEvents }) => validResponse && validEvents).length;
    const calls = all.filter(({ successToolCall }) => successToolCall).length;
    const right = all.filter((each) => each.toolCallingDetails.calledToolWithRightArguments).length;
    console.log(
      `${api}: ${all.length} runs, ${shapes} of the right shape, ${calls} with a valid call, ${right} with the right arguments`,
    );
    good &&= shapes === all.length && calls >= leastCalls * all.length;
  }
  if (errors > 0) console.log(`${errors} cases ended in an error`);
  return good;
}
