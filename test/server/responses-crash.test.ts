import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import OpenAI from "openai";
import { expect, it } from "vitest";
import { openStore } from "../../src/server/index.ts";

type Ask = OpenAI.Responses.ResponseCreateParamsNonStreaming;

const script = new URL("../support/storing-server.ts", import.meta.url);

async function start(file: string): Promise<{ child: ChildProcess; client: OpenAI }> {
  const child = spawn(process.execPath, ["--import", "tsx", script.pathname, file], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const url of createInterface({ input: child.stdout! }))
    return { child, client: new OpenAI({ apiKey: "none", baseURL: `${url}/v1`, maxRetries: 0 }) };
  throw new Error("the server didn't start");
}

it("has every response that was acknowledged, whole, when the server was killed in the midst of others", async () => {
  const folder = mkdtempSync(join(tmpdir(), "crash-"));
  const file = join(folder, "responses.db");
  const acknowledged = new Map<string, string>();
  const begun = new Set<string>();
  try {
    for (const kills of [3, 6]) {
      const { child, client } = await start(file);
      const ended = new Promise((resolve) => child.once("exit", resolve));
      // each of several clients goes on from its own last response until the server is gone
      const work = async (isStream: boolean): Promise<void> => {
        const ask: Ask = { model: "scripted", input: "Hi", previous_response_id: null };
        for (;;) {
          if (isStream) {
            for await (const event of await client.responses.create({ ...ask, stream: true })) {
              if (event.type === "response.created") begun.add(event.response.id);
              if (event.type === "response.completed") ask.previous_response_id = event.response.id;
            }
            const { id, output } = await client.responses.retrieve(ask.previous_response_id!);
            acknowledged.set(id, JSON.stringify(output));
          } else {
            const { id, output } = await client.responses.create(ask);
            acknowledged.set(id, JSON.stringify(output));
            ask.previous_response_id = id;
          }
          if (acknowledged.size >= kills) child.kill("SIGKILL");
        }
      };
      await Promise.allSettled([work(true), work(false), work(true)]);
      await ended;
    }

    const store = await openStore({ file });
    expect(acknowledged.size).toBeGreaterThanOrEqual(6);
    for (const [id, output] of acknowledged) {
      expect(await store.get(id)).toMatchObject({ status: "completed" });
      const items = await store.items(id, "output");
      expect(JSON.stringify(items.map(({ item }) => item))).toBe(output);
      expect(await store.conversation(id)).toBeDefined();
    }
    for (const id of begun) expect((await store.get(id))!.status).toMatch(/^(completed|failed)$/);
    await store.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
}, 120_000);
