/**
 * OpenAI's Codex CLI against the server: a model that writes what it is told to reads a file through Codex's shell, calls a tool in a
 * namespace, and answers. Fails unless Codex runs the command, both outputs reach the model, and Codex prints the answer.
 *
 *     npm install --prefix DIR @openai/codex
 *     npx tsx scripts/check-codex.ts --codex DIR/node_modules/.bin/codex
 */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { serve } from "../src/server/index.ts";
import { scriptedServer } from "../test/support/api-client.ts";

const { values } = parseArgs({ options: { codex: { type: "string", default: "codex" } } });

const NOTE = "forty-seven and thirty-eight make 85";
const ANSWER = "The note is about a sum.";
const call = (recipient: string, args: object): string =>
  `<|channel|>analysis<|message|>Next.<|end|><|start|>assistant<|channel|>commentary to=${recipient} ` +
  `<|constrain|>json<|message|>${JSON.stringify(args)}<|call|>`;
const { server, prompts } = scriptedServer(
  [
    call("functions.exec_command", { cmd: "cat note.txt" }),
    call("multi_agent_v1.close_agent", { target: "nobody" }),
    `<|channel|>final<|message|>${ANSWER}<|return|>`,
  ],
  {},
  2 ** 17, // Codex begins with some 40,000 characters
);

const folder = await mkdtemp(join(tmpdir(), "check-codex-"));
const listening = await serve(server, { port: 0 });
try {
  const [home, work] = [join(folder, "home"), join(folder, "work")];
  await Promise.all([home, work].map((path) => mkdir(path)));
  await writeFile(join(work, "note.txt"), NOTE);
  await writeFile(
    join(home, "config.toml"),
    `model = "scripted"
model_provider = "gpt-oss"

[model_providers.gpt-oss]
name = "gpt-oss in TypeScript"
base_url = "${listening.url}/v1"
wire_api = "responses"
`,
  );
  const child = spawn(values.codex, ["exec", "--skip-git-repo-check", "What does note.txt say?"], {
    cwd: work,
    env: { ...process.env, CODEX_HOME: home },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 120_000,
  });
  const [stdout, stderr, status] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve)),
  ]);

  const faults = [
    status !== 0 && `Codex ended with ${status}`,
    prompts.length !== 3 && `the model was asked ${prompts.length} times, not three`,
    !prompts[1]?.includes(NOTE) && "the model didn't get to see what the command printed",
    !prompts[2]?.includes("multi_agent_v1.close_agent to=assistant") &&
      "the answer to the call in a namespace didn't come back under its name",
    !stdout.includes(ANSWER) && "Codex didn't print the answer",
  ].filter((fault) => fault !== false);
  console.log(faults.length === 0 ? "Codex: as it has to be" : `${stdout}\n${stderr}`);
  for (const fault of faults) console.log(`FAULT ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
} finally {
  await listening.stop();
  await rm(folder, { recursive: true, force: true });
}
