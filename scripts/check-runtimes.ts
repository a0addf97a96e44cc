/**
 * The same bits in every JavaScript engine: digests all activations (src/oracle/digest.ts) in this Node.js and in whatever
 * else is named, and fails if two digests differ.
 *
 *     npm run build && npx tsx scripts/check-runtimes.ts --runtime PATH … --browser PATH …
 *
 * PATH is a command: another Node.js, Deno or Bun; Chromium or Firefox. Browsers load dist/ as it is, from a server in here:
 * once cross-origin isolated, in a worker and with threads; once not, where memory can't be shared.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, extname, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PATIENCE = 300_000;
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

const { values } = parseArgs({
  options: {
    runtime: { type: "string", multiple: true, default: [] },
    browser: { type: "string", multiple: true, default: [] },
  },
});

const digests = new Set<string>();
const FAILURE = "failure";

/** Prints a report of lines that begin with a digest; all else in it is a failure. */
function note(title: string, report: string): void {
  console.log(`\n${title}\n${report.trim()}`);
  for (const line of report.trim().split("\n")) digests.add(/^[0-9a-f]{64}/.exec(line)?.[0] ?? FAILURE);
}

async function runtime(command: string): Promise<void> {
  const args = basename(command).startsWith("deno") ? ["run", "-A"] : [];
  const child = spawn(command, [...args, "scripts/runtimes/digest.js"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "inherit"],
    timeout: PATIENCE,
  });
  const version = await text(spawn(command, ["--version"], { stdio: ["ignore", "pipe", "inherit"] }).stdout);
  note(`${basename(command)} ${version.split("\n")[0]}`, await text(child.stdout));
}

/** Serves dist/, golden/ and scripts/runtimes/ below /isolated/ and, without the headers that make it so, below /plain/. */
async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const match = /^\/(isolated|plain)\/((?:dist|golden|scripts\/runtimes)\/[\w/.-]+)$/.exec(request.url!);
  const body =
    match && !match[2]!.includes("..") && (await readFile(join(ROOT, match[2]!)).catch(() => null));
  if (!body) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, {
    "Content-Type": TYPES[extname(match[2]!)] ?? "application/octet-stream",
    ...(match[1] === "isolated" && {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    }),
  });
  response.end(body);
}

async function browser(command: string): Promise<void> {
  let receive = (_report: string): void => {};
  const server = createServer(async (request, response) => {
    if (request.method !== "POST") return serve(request, response);
    receive(await text(request));
    response.end();
  }).listen(0, "localhost");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  for (const kind of ["isolated", "plain"]) {
    const profile = await mkdtemp(join(tmpdir(), "profile-"));
    const args = basename(command).startsWith("firefox")
      ? ["--headless", "--no-remote", "--profile", profile]
      : ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", `--user-data-dir=${profile}`];
    const url = `http://localhost:${port}/${kind}/scripts/runtimes/page.html`;
    const report = new Promise<string>((resolve) => {
      receive = resolve;
      setTimeout(() => resolve("no answer\nno answer"), PATIENCE).unref();
    });
    // a group of its own: browsers are trees of processes
    const child = spawn(command, [...args, url], { stdio: "ignore", detached: true });
    const [agent, ...lines] = (await report).split("\n");
    note(`${agent}, ${kind === "isolated" ? "cross-origin isolated" : "not isolated"}`, lines.join("\n"));
    const exit = once(child, "exit");
    process.kill(-child.pid!, "SIGKILL");
    await exit;
    await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
  server.close();
  server.closeAllConnections();
}

await runtime(process.execPath);
for (const command of values.runtime) await runtime(command);
for (const command of values.browser) await browser(command);
const same = digests.size === 1 && !digests.has(FAILURE);
console.log(same ? "\nOne digest everywhere" : "\nNot one digest everywhere");
process.exitCode = same ? 0 : 1;
