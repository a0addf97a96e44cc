/**
 * Exports a checkpoint as GGUF, serves it with llama.cpp's own server on the loopback, and examines that with `gpt-oss check`:
 *
 *     npx tsx scripts/check-llama-cpp.ts --server PATH/llama-server [--model golden/small] [--dense bf16|q8_0|f32|f16]
 *         [--chat-template FILE.jinja] [--threads N] [--json]
 *
 * The server comes with any build of llama.cpp; libraries beside it are found. Checkpoints without a chat template need one,
 * such as models/templates/openai-gpt-oss-120b.jinja of llama.cpp. Exit status 0 means that the log-probabilities are those of
 * this model, or of this model with YaRN truncated, which is how llama.cpp computes it.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { writeWhole } from "../src/checkpoint/export/file-node.ts";
import { type GgufDenseType, planGgufExport } from "../src/checkpoint/export/gguf.ts";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { table } from "../src/cli/terminal.ts";
import { checkServer, type ServerReport } from "../src/oracle/live/check.ts";
import { checkText } from "../src/oracle/live/report.ts";

const { values: options } = parseArgs({
  options: {
    server: { type: "string" },
    model: { type: "string", default: "golden/small" },
    dense: { type: "string", default: "bf16" },
    "chat-template": { type: "string" },
    threads: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
  },
});
if (options.server === undefined) throw new Error("--server PATH: where is llama-server?");

const folder = await mkdtemp(join(tmpdir(), "llama-cpp-"));
try {
  const gguf = join(folder, "model.gguf");
  await exportGguf(options.model, gguf);
  const checkpoint = await openCheckpoint(gguf); // what the server has, its quantised weights included
  try {
    const report = await withServer(resolve(options.server), gguf, (url) =>
      checkServer(url, checkpoint, {
        servedName: "gguf",
        load: { threads: Number(options.threads) },
        onProgress: (what) => process.stderr.write(`${what}\n`),
      }),
    );
    console.log(options.json ? JSON.stringify(report) : checkText(report, table));
    if (!isAsKnown(report)) process.exitCode = 1;
  } finally {
    await checkpoint.close();
  }
} finally {
  await rm(folder, { recursive: true });
}

async function exportGguf(from: string, to: string): Promise<void> {
  const checkpoint = await openCheckpoint(from);
  try {
    const template = options["chat-template"];
    const plan = await planGgufExport(checkpoint, {
      dense: options.dense as GgufDenseType,
      ...(template !== undefined && { chatTemplate: await readFile(template, "utf8") }),
    });
    await writeWhole(to, plan.bytes, (file) => plan.write(file));
  } finally {
    await checkpoint.close();
  }
}

function isAsKnown({ agreement }: ServerReport): boolean {
  if (agreement?.verdict !== "explained") return agreement?.verdict === "agrees";
  return agreement.explanations[0]?.explanation.name === "yarn-truncated";
}

/** Runs llama.cpp's server on a free port for as long as `use` takes. */
async function withServer<T>(path: string, gguf: string, use: (url: string) => Promise<T>): Promise<T> {
  const port = await freePort();
  const { LD_LIBRARY_PATH: libraries = "", ...env } = process.env;
  const args = ["--model", gguf, "--host", "127.0.0.1", "--port", `${port}`, "--jinja"];
  const server = spawn(path, [...args, "--ctx-size", "4096", "--threads", options.threads], {
    env: { ...env, LD_LIBRARY_PATH: [dirname(path), libraries].filter(Boolean).join(delimiter) },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  server.stderr.on("data", (chunk) => {
    log = (log + chunk).slice(-4000);
  });
  const ended = new Promise<never>((_, reject) => {
    server.once("error", reject);
    server.once("exit", (code) => reject(new Error(`llama-server ended with status ${code}:\n${log}`)));
  });
  ended.catch(() => {});
  const url = `http://127.0.0.1:${port}`;
  try {
    const ready = async (): Promise<void> => {
      for (;;) {
        if (
          await fetch(`${url}/health`).then(
            ({ ok }) => ok,
            () => false,
          )
        )
          return;
        await setTimeout(200);
      }
    };
    await Promise.race([ready(), ended]);
    return await Promise.race([use(url), ended]);
  } finally {
    server.kill();
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((done) => probe.listen(0, "127.0.0.1", done));
  const { port } = probe.address() as { port: number };
  await new Promise((done) => probe.close(done));
  return port;
}
