/**
 * `gpt-oss serve` under load, as a process of its own on the loopback; fails where something isn't as it has to be.
 *
 *     npm run build && npx tsx scripts/check-server.ts [throughput] [memory] [crash] [shutdown] [peak] [--model M]
 *         [--clients N] [--rounds N] [--seconds N] [--prompt N] [--gen N] [--requests N] [--dialect D] [--threads N]
 *
 * - throughput: many clients at once have several times the tokens a second of one, and none of their requests fails
 * - memory: after thousands of requests of all kinds the server holds what it held before
 * - crash: `kill -9` in the midst of responses loses nothing that a client was told of
 * - shutdown: SIGTERM lets streams end, or ends them with a word
 * - peak: the most that is ever resident is little more than the weights
 *
 * Without `--model` the small checkpoint serves. Another, such as one of `synth`, gets token ids: prompts of `--prompt`, answers of
 * `--gen`. `throughput` has as many rounds as fit into `--seconds`, `--rounds` at most. `memory` and `crash` are the small one's.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openCheckpoint, summarizeCheckpoint } from "../src/checkpoint/index.ts";
import { crash } from "./check-server/crash.ts";
import { memory } from "./check-server/memory.ts";
import { peak } from "./check-server/peak.ts";
import type { Finding, Settings } from "./check-server/report.ts";
import { shutdown } from "./check-server/shutdown.ts";
import { throughput } from "./check-server/throughput.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string" },
    clients: { type: "string", default: "16" },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "90" },
    prompt: { type: "string", default: "32" },
    gen: { type: "string", default: "24" },
    requests: { type: "string", default: "10000" },
    dialect: { type: "string" },
    threads: { type: "string" },
  },
});

const { model, dialect, threads } = values;
const checkpoint = await openCheckpoint(model ?? "golden/small");
const summary = summarizeCheckpoint(checkpoint);
const { vocabSize } = checkpoint.config;
await checkpoint.close();
const settings: Settings = {
  serve: Object.entries({ model, dialect, threads }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  ),
  chats: model === undefined,
  clients: Number(values.clients),
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  ids: { prompt: Number(values.prompt), answer: Number(values.gen), vocabSize },
  requests: Number(values.requests),
};
const folder = await mkdtemp(join(tmpdir(), "check-server-"));
const checks: Readonly<Record<string, () => Promise<Finding>>> = {
  throughput: () => throughput(settings),
  memory: () => memory(settings, folder),
  crash: () => crash(settings, join(folder, "crash.db")),
  shutdown: () => shutdown(settings),
  peak: () => peak(settings, summary),
};

try {
  const names = positionals.length > 0 ? positionals : Object.keys(checks);
  for (const name of names) {
    const check = checks[name];
    if (!check) throw new Error(`no such check: ${name}; there are ${Object.keys(checks).join(", ")}`);
    const { lines, faults } = await check();
    console.log(`${name}: ${faults.length === 0 ? "as it has to be" : "FAILED"}`);
    for (const line of lines) console.log(`  ${line}`);
    for (const fault of faults) console.log(`  FAULT ${fault}`);
    if (faults.length > 0) process.exitCode = 1;
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
