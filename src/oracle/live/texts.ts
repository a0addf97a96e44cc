import {
  developerMessage,
  functionTools,
  type Message,
  renderForTraining,
  systemMessage,
} from "../../harmony/index.ts";
import type { Tokenizer } from "../../tokenizer/index.ts";

/** A fixed conversation as Harmony renders it, on which implementations are compared. */
export interface HarmonyText {
  readonly name: string;
  readonly ids: readonly number[];
  /** Whether ids[i] is the assistant's: what the model was trained to write, and is asked to write. */
  readonly assistant: readonly boolean[];
}

/** Version of the texts: their numbers are comparable only where it is the same. */
export const TEXTS_VERSION = 1;

const user = (content: string): Message => ({ role: "user", content });
const analysis = (content: string): Message => ({ role: "assistant", channel: "analysis", content });
const final = (content: string): Message => ({ role: "assistant", channel: "final", content });

const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const person = {
  type: "object",
  properties: { name: { type: "string" }, age: { type: "integer" } },
  required: ["name", "age"],
};

const CONVERSATIONS: Readonly<Record<string, readonly Message[]>> = {
  answer: [
    systemMessage({ reasoningEffort: "medium" }),
    user("What is 47 + 38?"),
    analysis("Ones: 7+8=15, write 5, carry 1.\nTens: 4+3+1=8.\nSo 47+38=85."),
    final("47 + 38 = 85."),
  ],
  call: [
    systemMessage({ reasoningEffort: "low" }),
    developerMessage(null, {
      tools: [functionTools([{ name: "get_weather", description: "Get the weather.", parameters: city }])],
    }),
    user("Get the weather in Paris."),
    {
      ...{ role: "assistant", channel: "commentary", recipient: "functions.get_weather" },
      ...{ contentType: "<|constrain|>json", content: '{"city":"Paris"}' },
    },
    {
      ...{ role: "tool", name: "functions.get_weather", recipient: "assistant", channel: "commentary" },
      content: '{"temperature":21,"sky":"cloudy"}',
    },
    final("The temperature in Paris is 21, and the sky is cloudy."),
  ],
  json: [
    systemMessage({ reasoningEffort: "low" }),
    developerMessage(null, { responseFormats: [{ name: "person", schema: person }] }),
    user("Ann is 31 years old."),
    analysis("The name is Ann, the age is 31."),
    final('{"name":"Ann","age":31}'),
  ],
  // longer than any window, and than the small checkpoint's original context
  turns: [
    systemMessage({ reasoningEffort: "high" }),
    developerMessage("Answer in one sentence. If you don't know something, say so."),
    ...[
      ["Who are you?", "I am a language model."],
      ["What is 12 + 13?", "12 + 13 = 25."],
      ["Which is larger, 347 or 352?", "352 is larger than 347."],
      ["Sort 45, 12, 99, 3.", "Sorted: 3, 12, 45, 99."],
      ['How many times does "r" appear in "strawberry"?', 'The letter "r" appears 3 times in "strawberry".'],
      ['Reverse "banana".', '"banana" reversed is "ananab".'],
      ["What is the capital of France?", "The capital of France is Paris."],
      ["And what did I ask you first?", "You asked me who I am."],
      ["What is 612 - 377?", "612 - 377 = 235."],
      ['How long is the word "window"?', 'The word "window" has 6 letters.'],
      ["Thank you!", "You are welcome."],
      ["What is 47 + 38?", "47 + 38 = 85."],
    ].flatMap(([question, answer]) => [user(question!), final(answer!)]),
  ],
};

/** The texts for a tokenizer. */
export function harmonyTexts(tokenizer: Tokenizer): HarmonyText[] {
  return Object.entries(CONVERSATIONS).map(([name, messages]) => {
    const ids = renderForTraining(tokenizer, messages, { dropAnalysis: false });
    return { name, ids, assistant: assistantTokens(tokenizer, ids) };
  });
}

/** Tokens behind `<|start|>assistant` up to the end of the message, that included. */
function assistantTokens(tokenizer: Tokenizer, ids: readonly number[]): boolean[] {
  const role = tokenizer.encode("assistant");
  const start = tokenizer.specialId("<|start|>");
  const ends = ["<|end|>", "<|return|>", "<|call|>"].map((name) => tokenizer.specialId(name));
  const marks = new Array<boolean>(ids.length).fill(false);
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] !== start || !role.every((id, j) => ids[i + 1 + j] === id)) continue;
    i += role.length;
    do marks[++i] = true;
    while (i + 1 < ids.length && !ends.includes(ids[i]!));
  }
  return marks;
}

/** At most `count` positions of a text, evenly spread, each with a token behind it. */
export function spread(length: number, count: number): number[] {
  const last = length - 2;
  if (count >= last + 1) return Array.from({ length: last + 1 }, (_, i) => i);
  return Array.from({ length: count }, (_, i) => Math.round(((i + 1) * last) / count));
}
