import fc from "fast-check";
import { expect, test } from "vitest";
import { conversationToJson, parseConversation, type SavedConversation } from "../../src/agent/index.ts";
import { UsageError } from "../../src/errors.ts";

const conversation: SavedConversation = {
  effort: "high",
  instructions: "Be kind.",
  messages: [
    { role: "user", content: "6 · 7?\n<|end|>" },
    { role: "assistant", channel: "analysis", recipient: "python", contentType: "code", content: "6*7" },
    { role: "tool", name: "python", recipient: "assistant", channel: "analysis", content: "42" },
    { role: "assistant", channel: "final", content: "42" },
  ],
};

test("a conversation is read as it was written", () => {
  expect(parseConversation(conversationToJson(conversation), "x.json")).toEqual(conversation);
  const plain: SavedConversation = { effort: "low", messages: [] };
  expect(parseConversation(conversationToJson(plain), "x.json")).toEqual(plain);
});

test("content in parts is kept as its text", () => {
  const parts = [{ type: "text", text: "6 · " } as const, { type: "text", text: "7?" } as const];
  const saved = conversationToJson({ effort: "low", messages: [{ role: "user", content: parts }] });
  expect(parseConversation(saved, "x.json").messages).toEqual([{ role: "user", content: "6 · 7?" }]);
});

test.each([
  ["", /x\.json.*JSON/],
  ["[]", /x\.json.*an object/],
  ["{}", /not a saved conversation/],
  ['{"format":"gpt-oss conversation 1","effort":"huge","messages":[]}', /effort/],
  ['{"format":"gpt-oss conversation 1","effort":"low","messages":{}}', /messages.*an array/],
  ['{"format":"gpt-oss conversation 1","effort":"low","messages":[1]}', /message 0/],
  ['{"format":"gpt-oss conversation 1","effort":"low","messages":[{"role":"system","content":"x"}]}', /role/],
  ['{"format":"gpt-oss conversation 1","effort":"low","messages":[{"role":"user","content":[]}]}', /content/],
  ['{"format":"gpt-oss conversation 1","effort":"low","messages":[{"role":"tool","content":"x"}]}', /name/],
])("%s is refused", (text, message) => {
  expect(() => parseConversation(text, "x.json")).toThrow(message);
});

test("whatever else a file holds, the error is one of ours", () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      expect(() => parseConversation(text, "x.json")).toThrow(UsageError);
    }),
    { seed: 3, numRuns: 300 },
  );
});
