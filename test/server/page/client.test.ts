import { afterEach, expect, test, vi } from "vitest";
import { askWhatIsServed, Problem, respond } from "../../../src/server/page/client/server.ts";
import { keep, restore } from "../../../src/server/page/client/store.ts";
import {
  answerOf,
  applyEvent,
  inputOf,
  type ResponseEvent,
  type Turn,
} from "../../../src/server/page/client/turn.ts";

afterEach(() => void vi.unstubAllGlobals());

const EVENTS: readonly ResponseEvent[] = [
  { type: "response.created" },
  { type: "response.output_item.added", output_index: 0, item: { type: "reasoning", content: [] } },
  { type: "response.reasoning_text.delta", output_index: 0, delta: "Ünï" },
  { type: "response.reasoning_text.delta", output_index: 0, delta: "code 🎈" },
  {
    type: "response.output_item.done",
    output_index: 0,
    item: { type: "reasoning", content: [{ text: "Ünïcode 🎈" }] },
  },
  { type: "response.output_item.added", output_index: 1, item: { type: "code_interpreter_call", code: "" } },
  { type: "response.code_interpreter_call_code.delta", output_index: 1, delta: "print(1)" },
  {
    type: "response.output_item.done",
    output_index: 1,
    item: { type: "code_interpreter_call", code: "print(1)", outputs: [{ logs: "1\n" }] },
  },
  { type: "response.output_item.added", output_index: 2, item: { type: "message", content: [] } },
  { type: "response.output_text.delta", output_index: 2, delta: "It is 1." },
  { type: "response.completed", response: { usage: { output_tokens: 9 } } },
];

/** A server that sends these bytes in pieces of the given size. */
function sends(bytes: Uint8Array, size: number, init: ResponseInit = {}): void {
  const body = new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
      controller.close();
    },
  });
  vi.stubGlobal("fetch", async () => new Response(body, init));
}

const wire = (lineEnd: string): Uint8Array =>
  new TextEncoder().encode(
    EVENTS.map(
      (event) =>
        `: alive${lineEnd}event: ${event.type}${lineEnd}data: ${JSON.stringify(event)}${lineEnd}${lineEnd}`,
    ).join(""),
  );

async function collect(): Promise<ResponseEvent[]> {
  const events: ResponseEvent[] = [];
  for await (const event of respond({}, undefined, new AbortController().signal)) events.push(event);
  return events;
}

test.each([
  [1, "\n"],
  [2, "\r\n"],
  [7, "\n"],
  [1000, "\r\n"],
])("events survive being cut into pieces of %d bytes, lines ending in %j", async (size, lineEnd) => {
  sends(wire(lineEnd), size);
  expect(await collect()).toEqual(EVENTS);
});

test("a stream that breaks off is told of", async () => {
  sends(wire("\n").slice(0, 900), 100);
  await expect(collect()).rejects.toThrow("broke in the middle");
});

test.each([
  [401, {}, "Authorization: Bearer", { message: /asks for an API key. Enter/, needsKey: true }],
  [429, { "retry-after": "7" }, "x", { message: "The server is busy. Try again in 7 s." }],
  [429, {}, "x", { message: "The server is busy. Try again in a moment." }],
  [400, {}, "too long", { message: "too long", needsKey: false }],
  [500, {}, "oh", { message: "Something went wrong in the server: oh" }],
])("status %d is put in words", async (status, headers, message, expected) => {
  const body = JSON.stringify({ error: { message } });
  vi.stubGlobal("fetch", async () => new Response(body, { status, headers }));
  const { message: told, ...others } = expected;
  await expect(collect()).rejects.toMatchObject({ message: expect.stringMatching(told), ...others });
  await expect(askWhatIsServed("key")).rejects.toBeInstanceOf(Problem);
});

test("a key that is wrong is asked for again", async () => {
  vi.stubGlobal("fetch", async () => new Response("{}", { status: 401 }));
  await expect(askWhatIsServed("wrong")).rejects.toThrow("doesn't accept this API key");
});

test("an answer that isn't the API's, and a server that is gone, are put in words", async () => {
  vi.stubGlobal("fetch", async () => new Response("<h1>Bad gateway</h1>", { status: 404 }));
  await expect(collect()).rejects.toThrow("The server answered with status 404.");
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  await expect(collect()).rejects.toThrow("Is it still running?");
});

test("stopping ends the request with the signal's reason", async () => {
  const controller = new AbortController();
  vi.stubGlobal("fetch", (_url: string, { signal }: RequestInit) => {
    controller.abort();
    return Promise.reject(signal!.reason);
  });
  const events = respond({}, undefined, controller.signal);
  await expect(events.next()).rejects.toBe(controller.signal.reason);
});

function turnOf(events: readonly ResponseEvent[], question = "?"): Turn {
  const turn: Turn = { question, steps: [] };
  for (const [second, event] of events.entries()) applyEvent(turn, event, second);
  return turn;
}

test("events become reasoning, calls and an answer", () => {
  const turn = turnOf(EVENTS);
  expect(turn.steps).toEqual([
    { type: "reasoning", text: "Ünïcode 🎈", begin: 1, seconds: 2 },
    { type: "call", name: "Python", text: "print(1)", result: "1\n" },
    { type: "text", text: "It is 1." },
  ]);
  expect(turn.problem).toBeUndefined();
});

test.each([
  [{ type: "response.output_item.added", output_index: 7, item: { type: "message" } }],
  [{ type: "response.output_text.delta", output_index: -1, delta: "x" }],
  [{ type: "response.output_text.delta", output_index: 0, delta: "x" }],
  [{ type: "response.something_new" }],
])("an event that fits nowhere changes nothing: %j", (event) => {
  expect(turnOf([event])).toEqual({ question: "?", steps: [] });
});

test("failures and limits are told of", () => {
  expect(turnOf([{ type: "response.failed", response: { error: { message: "broken" } } }]).problem).toBe(
    "broken",
  );
  expect(turnOf([{ type: "error", message: "broken" }]).problem).toBe("broken");
  expect(turnOf([{ type: "response.incomplete", response: {} }]).problem).toMatch("limit");
});

test("the model is shown questions and answers, not what failed before", () => {
  const turns = [turnOf(EVENTS, "one"), turnOf([], "failed"), turnOf([], "now")];
  expect(inputOf(turns)).toEqual([
    { role: "user", content: "one" },
    { role: "assistant", content: "It is 1." },
    { role: "user", content: "now" },
  ]);
  expect(answerOf(turns[0]!)).toBe("It is 1.");
});

function storage(limit = Number.POSITIVE_INFINITY): Storage {
  const items = new Map<string, string>();
  return {
    getItem: (name: string) => items.get(name) ?? null,
    setItem(name: string, value: string) {
      if (value.length > limit) throw new DOMException("full", "QuotaExceededError");
      items.set(name, value);
    },
    removeItem: (name: string) => void items.delete(name),
  } as Storage;
}

test("a conversation is kept and found again; one that is too long, or not ours, isn't", () => {
  const kept = { turns: [turnOf(EVENTS)], effort: "low", tools: ["python"] };
  const tab = storage();
  keep(tab, kept);
  expect(restore(tab)).toEqual(kept);

  const small = storage(10);
  keep(small, kept);
  expect(restore(small)).toBeUndefined();
  for (const text of ["", "null", "{", "[]", '{"turns":[{}],"tools":[]}']) {
    tab.setItem("gpt-oss chat", text);
    expect(restore(tab)).toBeUndefined();
  }
});
