import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterEach, expect, test, vi } from "vitest";

vi.setConfig({ testTimeout: 120_000 });

const processes: ChildProcess[] = [];
afterEach(() => {
  for (const process of processes.splice(0)) process.kill("SIGKILL");
});

/** `gpt-oss serve` as users run it, from dist/. */
function serve(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, ["dist/cli/main.js", "serve", "--threads", "1", ...args], {
    env: { ...process.env, GPT_OSS_API_KEY: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  processes.push(child);
  const said = { out: "", error: "" };
  child.stdout.on("data", (data) => {
    said.out += data;
  });
  child.stderr.on("data", (data) => {
    said.error += data;
  });
  const ended = once(child, "close").then(([code]) => code as number | null);
  const url = async (): Promise<string> => {
    while (!said.out.includes("\n")) {
      const code = await Promise.race([once(child.stdout, "data"), ended]);
      if (typeof code === "number") throw new Error(said.error);
    }
    return /http:\S+(?=\/v1)/.exec(said.out)![0];
  };
  return { child, said, ended, url };
}

test("it says where it listens, and Ctrl-C stops it", async () => {
  const { child, said, ended, url } = serve(["--port", "0"]);
  const address = await url();
  expect(said.out).toMatch(/^gpt-oss-small at http:\/\/127\.0\.0\.1:\d+\/v1\. Ctrl-C stops it\.\n$/);
  expect(said.error).not.toContain("Warning");
  expect((await fetch(`${address}/health`)).status).toBe(200);

  const { port } = new URL(address);
  const other = serve(["--port", port, "--model", "none"]); // it is told ahead of loading
  expect(await other.ended).toBe(2);
  expect(other.said.error).toBe(
    `gpt-oss: the port is in use (127.0.0.1:${port}). Name another by --port; 0 takes any that is free.\n`,
  );

  child.kill("SIGINT");
  expect(await ended).toBe(0);
  expect(said.error).toContain("Stopping: answers under way have 30 s to end. Ctrl-C again stops at once.");
});

test("Ctrl-C lets an answer under way go on, a second one stops it at once", async () => {
  const { child, said, ended, url } = serve(["--port", "0", "--grace", "3600"]);
  const { added_tokens: specials } = JSON.parse(readFileSync("golden/small/tokenizer.json", "utf8")) as {
    added_tokens: { id: number }[];
  };
  const response = await fetch(`${await url()}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "gpt-oss-small",
      prompt: "1 2 3",
      max_tokens: 4000,
      stream: true,
      logit_bias: Object.fromEntries(specials.map(({ id }) => [id, -100])),
    }),
  });
  const reader = response.body!.getReader();
  const text = new TextDecoder();
  let stream = text.decode((await reader.read()).value);
  child.kill("SIGINT");
  while (!said.error.includes("Stopping")) await once(child.stderr, "data");
  stream += text.decode((await reader.read()).value); // it goes on
  child.kill("SIGINT");
  for (let next = await reader.read(); !next.done; next = await reader.read())
    stream += text.decode(next.value);
  expect(stream).toContain("server_shutting_down");
  expect(await ended).toBe(0);
});

test("on a network it warns, unless there is a key", async () => {
  const open = serve(["--port", "0", "--host", "0.0.0.0"]);
  const locked = serve(["--port", "0", "--host", "0.0.0.0"], { GPT_OSS_API_KEY: "secret" });
  await open.url();
  await locked.url();
  while (!open.said.error.includes("\n")) await once(open.child.stderr, "data");
  expect(open.said.error).toMatch(/^Warning: whoever reaches this machine can use the model\./);
  for (const { child, ended } of [open, locked]) {
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  }
  expect(locked.said.error).not.toContain("Warning");
  expect(locked.said.out + locked.said.error).not.toContain("secret");
});

test("every address of the loopback is a name of its own", async () => {
  const { url } = serve(["--port", "0", "--host", "127.0.0.2", "--allow-host", "Model.example"]);
  const address = await url();
  expect((await fetch(`${address}/health`)).status).toBe(200);
});

test.each([
  [["--port", "70000"], "port"],
  [["--parallel", "0"], "parallel"],
  [["--tools", "shell"], "no such tool"],
  [["--mcp", "nowhere.json"], "nowhere.json"],
  [["--model", "nowhere"], "nowhere"],
  [["--store", "nowhere/store.db"], "nowhere/store.db"],
])("%j is an error of one line", async (args, told) => {
  const { ended, said } = serve(["--port", "0", ...args]);
  expect(await ended).toBe(2);
  expect(said.error).toContain(told);
  expect(said.error).not.toContain("internal error");
});
