import { type ChildProcess, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { FromSandbox } from "./messages.ts";
import { MAX_LINE_BYTES, type Sandbox, type SandboxEvents, SCRIPT_HEAP_BYTES } from "./sandbox.ts";

/** Starts the child process, with as few rights as the runtime can be told to give. */
export function startSandbox(events: SandboxEvents): Sandbox {
  const folder = import.meta.url.endsWith(".ts") ? "../../../dist/tools/python/" : "./";
  const entry = new URL(`${folder}child-node.js`, import.meta.url);
  const child = spawn(process.execPath, sandboxArguments(entry), {
    cwd: fileURLToPath(new URL(".", entry)),
    env: environment(),
    stdio: ["pipe", "pipe", "ignore"],
    windowsHide: true,
  });
  let ended = false;
  const end = (reason: string): void => {
    if (ended) return;
    ended = true;
    child.kill("SIGKILL");
    events.exit(reason);
  };
  child.on("error", (error) => end(error.message));
  child.on("exit", (code, signal) => end(signal === null ? `exit status ${code}` : signal));
  child.stdin!.on("error", () => {});
  child.stdout!.on("data", lines(events, end));
  idle(child);

  return {
    send(message, bytes = new Uint8Array()) {
      if (ended) return;
      const json = new TextEncoder().encode(JSON.stringify(message));
      const head = new DataView(new ArrayBuffer(8));
      head.setUint32(0, json.length, true);
      head.setUint32(4, bytes.length, true);
      for (const part of [new Uint8Array(head.buffer), json, bytes])
        if (part.length > 0) child.stdin!.write(part);
    },
    kill() {
      ended = true;
      child.kill("SIGKILL");
    },
    async residentBytes() {
      if (process.platform !== "linux") return undefined;
      const status = await readFile(`/proc/${child.pid}/status`, "latin1").catch(() => "");
      const kib = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1];
      return kib === undefined ? undefined : 1024 * Number(kib);
    },
  };
}

/** A child that only waits keeps no program alive; who waits for an answer has a timer that does. */
function idle(child: ChildProcess): void {
  child.unref();
  for (const pipe of [child.stdin, child.stdout]) (pipe as unknown as { unref?(): void }).unref?.();
}

/** The arguments with which a runtime starts a program and lets it do next to nothing. */
export function sandboxArguments(entry: URL): string[] {
  const file = fileURLToPath(entry);
  const heap = `--max-old-space-size=${SCRIPT_HEAP_BYTES / 2 ** 20}`;
  // lazily: Node.js 20 would compile all of Python first
  const v8 = ["--disallow-code-generation-from-strings", "--wasm-lazy-compilation", heap];
  const { versions } = process;
  if (versions["deno"] !== undefined) {
    // without --allow-…, Deno gives nothing; modules named in imports load all the same
    const flags = ["--no-prompt", "--no-config", "--no-lock", "--no-remote", "--no-npm", "--cached-only"];
    return ["run", ...flags, `--v8-flags=${v8.join(",")}`, file];
  }
  if (versions["bun"] !== undefined) return ["--no-install", file];
  const permission = process.allowedNodeEnvironmentFlags.has("--permission")
    ? "--permission"
    : "--experimental-permission";
  const read = `--allow-fs-read=${fileURLToPath(new URL(".", entry))}*`;
  return [permission, read, "--no-warnings", ...v8, file];
}

/** Nothing of ours, but for what the systems need to start a program at all. */
function environment(): Record<string, string> {
  if (process.versions["deno"] !== undefined) return { DENO_DIR: "/nonexistent", DENO_NO_UPDATE_CHECK: "1" };
  const root = process.platform === "win32" ? process.env["SystemRoot"] : undefined;
  return root === undefined ? {} : { SystemRoot: root };
}

function lines(events: SandboxEvents, end: (reason: string) => void): (chunk: Uint8Array) => void {
  let parts: string[] = [];
  let length = 0;
  const decoder = new TextDecoder();
  return (chunk) => {
    const pieces = decoder.decode(chunk, { stream: true }).split("\n");
    for (const [i, piece] of pieces.entries()) {
      parts.push(piece);
      length += piece.length;
      if (length > MAX_LINE_BYTES) return end("its answer is too long");
      if (i === pieces.length - 1) return;
      const line = parts.join("");
      parts = [];
      length = 0;
      let message: FromSandbox;
      try {
        message = JSON.parse(line) as FromSandbox;
      } catch {
        return end("its answer isn't JSON");
      }
      events.message(message);
    }
  };
}
