import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import type { AgentEvent, Usage } from "../../src/agent/index.ts";
import { ChatView } from "../../src/cli/chat-view.ts";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "gpt-oss-chat-"));
afterAll(() => rm(folder, { recursive: true }));

/** What `gpt-oss chat` prints for lines of input, and its exit status. */
function chat(lines: string[], ...args: string[]): Promise<{ out: string; status: number | null }> {
  const child = spawn(process.execPath, [MAIN, "chat", ...args], { stdio: ["pipe", "pipe", "inherit"] });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stdin.end(lines.map((line) => `${line}\n`).join(""));
  return new Promise((resolve) => child.on("close", (status) => resolve({ out, status })));
}

test("questions on a pipe are answered in turn, commands and their errors among them", async () => {
  const file = join(folder, "conversation.json");
  const { out, status } = await chat([
    "What is 47 + 38?",
    "/effort high",
    "/effort extreme",
    "/bogus",
    "What is 45 + 36?",
    "/retry",
    `/save ${file}`,
    "/new",
    "/retry",
    `/load ${file}`,
    "/tools hammer",
    `/load ${folder}/nothing.json`,
    `/save ${folder}/no/folder.json`,
    "/Help",
  ]);
  expect(status).toBe(0);
  expect(out).toContain("47 + 38 = 85.\neffort high\nno such effort: expected low, medium or high");
  expect(out).toContain("no such command: /bogus");
  expect(out.match(/^45 \+ 36 = 81\.$/gm)).toHaveLength(2);
  expect(out).toMatch(/\d messages in .*conversation\.json\na new conversation\nthere is no question yet/);
  expect(out).toMatch(/\d messages from .*conversation\.json\nno such tool: .*hammer/);
  expect(out).toMatch(/can't read the conversation .*nothing\.json/);
  expect(out).toMatch(/ENOENT.*folder\.json[\s\S]*\/effort low\|medium\|high/);

  const saved = JSON.parse(await readFile(file, "utf8"));
  expect(saved.effort).toBe("high");
  const roles = saved.messages.map(
    ({ role, channel }: { role: string; channel?: string }) => channel ?? role,
  );
  expect(roles).toEqual(["user", "analysis", "final", "user", "analysis", "final"]);
});

test("a saved conversation is gone on with from the command line", async () => {
  const file = join(folder, "conversation.json");
  const { out, status } = await chat(["/retry"], "--load", file);
  expect([out.includes("45 + 36 = 81."), status]).toEqual([true, 0]);
});

const usage: Usage = {
  promptTokens: 100,
  cachedTokens: 60,
  completionTokens: 20,
  prefillSeconds: 0.5,
  decodeSeconds: 2,
};
const python = { recipient: "python", function: "", content: "1\n2" };
const EVENTS: AgentEvent[] = [
  { type: "reasoning", delta: "Let me " },
  { type: "reasoning", delta: "think." },
  { type: "tool-call-delta", recipient: "python", delta: "1\n2" },
  { type: "tool-call", call: python },
  { type: "tool-result", call: python, result: { text: "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n" }, seconds: 2 },
  { type: "text", channel: "final", delta: "Good\x1b[2J" },
  { type: "text", channel: "final", delta: "bye." },
  { type: "final", text: "Good bye.", finishReason: "length", messages: [], usage },
];

/** What a view of events writes, styles left out. */
function shown(isTTY: boolean, folded: boolean, use: (view: ChatView) => void = () => {}): string {
  let text = "";
  const write = (piece: string): void => {
    text += piece;
  };
  const view = new ChatView({ isTTY, columns: 40, write } as unknown as NodeJS.WriteStream, folded);
  view.begin();
  for (const event of EVENTS) view.show(event);
  use(view);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what styles are
  return text.replace(/\x1b\[\d+m/g, "");
}

const RESULT =
  "⚙ python\n  │ 1\n  │ 2\n  └ a\n    b\n    c\n    d\n    e\n    f\n    g\n    h\n    … 2 more lines (/show)\n    2.0 s\n";
const CUT = "(cut: the limit of tokens was reached; /continue goes on)\n";

test("a pipe gets reasoning, calls, results and answer, one after the other", () => {
  expect(shown(false, false)).toBe(`Let me think.\n${RESULT}Good\x1b[2Jbye.\n${CUT}`);
});

test("a terminal gets no control characters from the model, and the speed at the end", () => {
  const footer = "20 tokens · 10 tokens/s · 40 prompt tokens read in 0.5 s\n";
  expect(shown(true, false)).toBe(`Let me think.\n${RESULT}Good\ufffd[2Jbye.\n${CUT}${footer}`);
});

test("folded reasoning is a line that /show unfolds, with the results that were cut", () => {
  const text = shown(true, true, (view) => view.showDetails());
  const [thinking, thought] = text.split("\r\x1b[2K").slice(-2);
  expect(thinking).toBe("▸ thinking, 2 tokens  …Let me think.");
  expect(thought).toMatch(/^▸ thought for \d\.\d s, 2 tokens\n⚙ python/);
  expect(thought).toContain("Let me think.\na\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
});
