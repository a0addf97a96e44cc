import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { openingMessages } from "../../src/agent/prompt.ts";
import { renderConversation } from "../../src/harmony/index.ts";
import { tokenizer } from "../support/scripted-model.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "gpt-oss-format-"));
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

function generate(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const command = ["--import", "tsx", MAIN, "generate", "--dialect", "f32", ...args];
  return new Promise((resolve) => {
    const child = execFile("node", command, (error, stdout, stderr) => {
      resolve({ status: error ? Number(error.code) : 0, stdout, stderr });
    });
    child.stdin?.end();
  });
}

const SCHEMA = JSON.stringify({
  title: "Sum report",
  description: "What comes out",
  type: "object",
  properties: { sum: { type: "integer", minimum: 0, maximum: 999 } },
  required: ["sum"],
  additionalProperties: false,
});

test("--schema: stdout is the answer and a newline", async () => {
  const { status, stdout } = await generate("--schema", await file("s.json", SCHEMA), "What is 47 + 38?");
  expect(Object.keys(JSON.parse(stdout))).toEqual(["sum"]);
  expect(stdout).toMatch(/^\{.*\}\n$/s);
  expect(status).toBe(0);
});

test("--regex: an answer that the limit cuts goes to stderr, and the status is 1", async () => {
  const { status, stdout, stderr } = await generate(
    "--regex",
    "x{500}",
    "--max-tokens",
    "90",
    "What is 47 + 38?",
  );
  expect(stdout).toBe("");
  expect(stderr).toMatch(/x\ngpt-oss: the answer isn't whole: .*\n$/);
  expect(status).toBe(1);
});

test("--grammar with --json tells the answer and the finish reason", async () => {
  const grammar = await file("g.gbnf", 'root ::= "yes" | "no"');
  const { status, stdout } = await generate("--grammar", grammar, "--json", "Is 4 even?");
  expect(JSON.parse(stdout)).toMatchObject({
    text: expect.stringMatching(/^(yes|no)$/),
    finish_reason: "stop",
  });
  expect(status).toBe(0);
});

test.each([
  [["--schema", "BAD"], /^gpt-oss: a keyword of the schema isn't supported \(#\/if\)\. .*\n$/],
  [["--schema", "TEXT"], /^gpt-oss: not a JSON file .*\n$/],
  [["--grammar", "TEXT"], /^gpt-oss: not a rule \(line 1, column 1\).*\n$/],
  [["--regex", "a", "--stop", "b"], /excludes --ids and --stop/],
])("%j ends in one line and status 2", async (args, message) => {
  const files: Record<string, string> = { BAD: '{"if": {}}', TEXT: "{hello" };
  const resolved = await Promise.all(args.map((arg) => (files[arg] ? file(arg, files[arg]) : arg)));
  const { status, stdout, stderr } = await generate(...resolved, "hello");
  expect(stderr).toMatch(message);
  expect(stdout).toBe("");
  expect(status).toBe(2);
});

test("the model is told of the schema behind the instructions", () => {
  const responseFormat = { name: "report", description: "What comes out", schema: '{"type":"object"}' };
  const opening = openingMessages({ effort: "medium", instructions: "Be brief.", tools: [], responseFormat });
  const text = tokenizer.decode(renderConversation(tokenizer, opening));
  expect(text).toContain(
    '# Instructions\n\nBe brief.\n\n# Response Formats\n\n## report\n\n// What comes out\n{"type":"object"}<|end|>',
  );
  expect(text.match(/developer/g)).toHaveLength(1);
});
