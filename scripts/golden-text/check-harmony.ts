/**
 * The long check of Harmony: new random conversations and streams, through openai-harmony and through this library.
 *
 *     npx tsx scripts/golden-text/check-harmony.ts [--count N] [--seed SEED] [--python PATH] [--show N]
 *
 * Needs Python (`--python`, or PYTHON in the environment) with the packages of requirements.txt. For each of N
 * conversations (default 3000), the ids must be those of openai-harmony, whole, without dropped analysis and for
 * training, and the text must be what they decode to. For each of N streams, most of them damaged, compareStream says
 * what must agree.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, parseArgs } from "node:util";
import {
  BROWSER,
  type Message,
  PYTHON,
  renderConversation,
  renderForTraining,
  renderText,
} from "../../src/harmony/index.ts";
import { compareStream, type TheirStream } from "../../test/harmony/compare.ts";
import { tokenizer } from "../../test/harmony/stream.ts";

interface TheirConversation {
  messages: Message[];
  ids: number[];
  kept?: number[];
  training?: number[];
}

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "3000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    python: { type: "string", default: process.env["PYTHON"] ?? "python3" },
    show: { type: "string", default: "5" },
  },
});
const tally = new Map<string, number>();
let failures = 0;

const count = (what: string): void => {
  tally.set(what, (tally.get(what) ?? 0) + 1);
};
const fail = (what: string, details: unknown): void => {
  count("FAILED");
  if (failures++ < Number(values.show)) console.log(`${what}\n${JSON.stringify(details)}\n`);
};

function checkConversation({ messages, ids, kept = ids, training = ids }: TheirConversation): void {
  count("conversations");
  const ours = renderConversation(tokenizer, messages);
  const found = {
    ids: ours,
    kept: renderConversation(tokenizer, messages, { dropAnalysis: false }),
    training: renderForTraining(tokenizer, messages),
  };
  if (!isDeepStrictEqual(found, { ids, kept, training }))
    fail("other ids", { messages, theirs: tokenizer.decode(ids), ours: tokenizer.decode(ours) });
  if (renderText(messages) !== tokenizer.decode(ours)) fail("other text", messages);
}

function checkStream(stream: TheirStream): void {
  const { outcome, wrong } = compareStream(stream);
  count("streams");
  count(`  ${outcome}`);
  if (wrong !== undefined) fail(wrong, { text: tokenizer.decode(stream.ids), ...stream });
}

const script = fileURLToPath(new URL("make_harmony.py", import.meta.url));
const child = spawn(values.python, [script, "--fresh", values.seed, values.count], {
  stdio: ["ignore", "pipe", "inherit"],
});
const exit = new Promise<number | null>((resolve) => child.on("close", resolve));
for await (const line of createInterface({ input: child.stdout })) {
  const found = JSON.parse(line, (_, value: { name?: string; tools?: unknown } | null) =>
    value?.tools === null ? (value.name === "browser" ? BROWSER : PYTHON) : value,
  ) as TheirConversation | TheirStream;
  if ("messages" in found) checkConversation(found);
  else checkStream(found);
}
if ((await exit) !== 0) throw new Error("Python failed");

console.log(`seed ${values.seed}`);
for (const [what, times] of [...tally].sort()) console.log(`${String(times).padStart(7)}  ${what}`);
if (failures > 0) process.exitCode = 1;
