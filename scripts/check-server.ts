/**
 * `gpt-oss serve` under load, as a process of its own on the loopback; fails where something isn't as it has to be.
 *
 *     npm run build && npx tsx scripts/check-server.ts [throughput] [memory] [crash] [shutdown] [--model M]
 *         [--clients N] [--rounds N] [--requests N] [--dialect D] [--threads N]
 *
 * - throughput: many clients at once have several times the tokens a second of one, and none of their requests fails
 * - memory: after thousands of requests of all kinds the server holds what it held before
 * - crash: `kill -9` in the midst of responses loses nothing that a client was told of
 * - shutdown: SIGTERM lets streams end, or ends them with a word
 *
 * Without `--model` the small checkpoint serves. Another gets token ids in `throughput` and `shutdown`; it has to have a tokenizer, which
 * those of `synth` lack. `memory` and `crash` are the small one's.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { crash } from "./check-server/crash.ts";
import { memory } from "./check-server/memory.ts";
import type { Finding, Settings } from "./check-server/report.ts";
import { shutdown } from "./check-server/shutdown.ts";
import { throughput } from "./check-server/throughput.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string" },
    clients: { type: "string", default: "16" },
    rounds: { type: "string", default: "3" },
    requests: { type: "string", default: "10000" },
    dialect: { type: "string" },
    threads: { type: "string" },
  },
});

const { model, dialect, threads } = values;
const settings: Settings = {
  serve: Object.entries({ model, dialect, threads }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, value],
  ),
  chats: model === undefined,
  clients: Number(values.clients),
  rounds: Number(values.rounds),
  requests: Number(values.requests),
};
const folder = await mkdtemp(join(tmpdir(), "check-server-"));
const checks: Readonly<Record<string, () => Promise<Finding>>> = {
  throughput: () => throughput(settings),
  memory: () => memory(settings, folder),
  crash: () => crash(settings, join(folder, "crash.db")),
  shutdown: () => shutdown(settings),
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
