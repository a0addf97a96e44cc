import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { UsageError } from "../../src/errors.ts";
import type { GeneratedToken, GenerateOptions } from "../../src/generation/generate.ts";
import { load } from "../../src/generation/model.ts";
import { Session } from "../../src/generation/session.ts";
import { type Message, renderForCompletion, systemMessage } from "../../src/harmony/index.ts";

const model = await load(fileURLToPath(new URL("../../golden/small", import.meta.url)), { threads: 1 });
const tokenizer = model.requireTokenizer();
afterAll(() => model.close());

async function collect(stream: AsyncIterable<GeneratedToken>): Promise<GeneratedToken[]> {
  const tokens: GeneratedToken[] = [];
  for await (const token of stream) tokens.push(token);
  return tokens;
}

const options: GenerateOptions = { temperature: 1, seed: 3, maxTokens: 150, topLogprobs: 2 };

/** Renders a conversation and answers it, in the session and afresh: both must agree to the last bit. */
async function answer(session: Session, messages: readonly Message[]): Promise<number> {
  const prompt = renderForCompletion(tokenizer, messages);
  const got = await collect(session.generate(prompt, options));
  expect(got).toEqual(await collect(model.generate(prompt, options)));
  return prompt.length;
}

test("a conversation costs only what is new in each turn, and has the bits of a fresh start", async () => {
  using session = new Session(model);
  const messages: Message[] = [systemMessage({ reasoningEffort: "high" })];
  let previous = 0;
  for (const question of ["What is 47 + 38?", "Sort 45, 12, 99, 3.", "Which is larger, 347 or 352?"]) {
    messages.push({ role: "user", content: question });
    const length = await answer(session, messages);
    // the prompt parts from the last one behind it, where reasoning gave way to the answer
    expect(session.reusedTokens).toBe(previous);
    messages.push({ role: "assistant", channel: "final", content: "Something." });
    previous = length;
  }
});

test("positions asked for can be returned to, though the windows have long moved on", async () => {
  const preamble = [
    systemMessage(),
    { role: "developer", content: "# Instructions\n\nBe brief, and kind. ".repeat(8) } as const,
  ];
  const { length } = renderForCompletion(tokenizer, preamble);
  const mark = length - 3; // ahead of `<|start|>assistant`
  for (const checkpoints of [[mark], []]) {
    using session = new Session(model);
    const ask = (content: string): number[] =>
      renderForCompletion(tokenizer, [...preamble, { role: "user", content }]);
    await collect(
      session.generate(ask("Sort 5, 1, 9, 3. ".repeat(12)), { ...options, checkpoints, chunkSize: 16 }),
    );
    await answer(session, [...preamble, { role: "user", content: "Who are you?" }]);
    expect(session.reusedTokens).toBe(checkpoints.length > 0 ? mark : 0);
  }
});

test("a stopped answer leaves the session usable", async () => {
  using session = new Session(model);
  const messages: Message[] = [systemMessage(), { role: "user", content: "Sort 45, 12, 99, 3." }];
  const prompt = renderForCompletion(tokenizer, messages);
  const controller = new AbortController();
  await expect(async () => {
    for await (const { position } of session.generate(prompt, { ...options, signal: controller.signal }))
      if (position > prompt.length + 5) controller.abort(new Error("enough"));
  }).rejects.toThrow("enough");
  for await (const { position } of session.generate(prompt, options)) if (position > prompt.length + 5) break;
  await answer(session, messages);
});

test("sessions at the same time don't disturb each other", async () => {
  const questions = ["What is 47 + 38?", "Reverse banana.", "Sort 45, 12, 99, 3."];
  const sessions = questions.map(() => new Session(model));
  for (const turns of [1, 2]) {
    await Promise.all(
      sessions.map((session, i) => {
        const turn = [{ role: "user", content: questions[i]! } as const];
        return answer(session, [systemMessage(), ...Array.from({ length: turns }, () => turn).flat()]);
      }),
    );
  }
  for (const session of sessions) session[Symbol.dispose]();
});

test("a session answers one prompt at a time", async () => {
  using session = new Session(model);
  const prompt = renderForCompletion(tokenizer, [systemMessage(), { role: "user", content: "Hi" }]);
  const first = session.generate(prompt, options);
  await first.next();
  await expect(session.generate(prompt, options).next()).rejects.toThrow(UsageError);
  await first.return();
  await answer(session, [systemMessage(), { role: "user", content: "Hi" }]);
});
