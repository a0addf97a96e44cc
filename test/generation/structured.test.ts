import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type ChatToken, chat, type TokenSource } from "../../src/generation/chat.ts";
import type { GenerateOptions } from "../../src/generation/generate.ts";
import { load } from "../../src/generation/model.ts";
import { Session } from "../../src/generation/session.ts";
import type { StructuredOptions } from "../../src/generation/structured.ts";
import { gbnfGrammar, jsonSchemaGrammar, regexGrammar } from "../../src/grammar/index.ts";
import { type Message, systemMessage } from "../../src/harmony/index.ts";
import { validator } from "../grammar/suite.ts";
import { randomNumbers } from "../grammar/walk.ts";
import { scriptedModel, tokenizer } from "../support/scripted-model.ts";

const MESSAGES: Message[] = [systemMessage(), { role: "user", content: "What is 47 + 38?" }];
const SCHEMA = {
  type: "object",
  properties: {
    sum: { type: "integer", minimum: 0, maximum: 99 },
    why: { type: "string", maxLength: 8 },
    tags: { type: "array", items: { enum: ["a", "b"] }, maxItems: 2 },
  },
  required: ["sum"],
  additionalProperties: false,
};
const responseFormat = jsonSchemaGrammar(SCHEMA);
const isValid = validator(SCHEMA);

async function collect(
  source: TokenSource,
  options: GenerateOptions & StructuredOptions,
): Promise<{ text: string; messages: Message[]; tokens: ChatToken[]; finishReason: string | undefined }> {
  const tokens: ChatToken[] = [];
  for await (const token of chat(source, MESSAGES, options)) tokens.push(token);
  return {
    tokens,
    text: tokenizer.decode(tokens.map(({ id }) => id)),
    messages: tokens.flatMap(({ message }) => (message ? [message] : [])),
    finishReason: tokens.at(-1)?.finishReason,
  };
}

/** What writes a script, as far as it is let. */
function scripted(script: string): TokenSource {
  return new Session(scriptedModel([script]).model);
}

/** Mended places, but for the end of a stream that the limit cuts. */
function repairs(tokens: readonly ChatToken[]): string[] {
  return tokens.flatMap((token) => (token.finishReason === "length" ? [] : (token.repairs ?? [])));
}

const ANALYSIS = "<|channel|>analysis<|message|>It's {85} <or so.<|end|><|start|>assistant";

describe("what the model writes of its own accord stays as it is", () => {
  const args = { type: "object", properties: { x: { type: "integer" } }, required: ["x"] };
  const callFormats = new Map([["functions.f", jsonSchemaGrammar(args)]]);
  test.each<[string, StructuredOptions]>([
    [`${ANALYSIS}<|channel|>final<|message|>{"sum":85}<|return|>`, { responseFormat }],
    [
      `${ANALYSIS}<|channel|>final <|constrain|>json<|message|>{"sum": 85, "tags": ["a"]}<|return|>`,
      { responseFormat },
    ],
    [`<|channel|>final<|message|>{\n  "sum": 85\n}<|return|>`, { responseFormat }],
    [
      `<|channel|>commentary<|message|>I'll look.<|end|><|start|>assistant${ANALYSIS}<|channel|>final<|message|>{"sum":0}<|return|>`,
      { responseFormat },
    ],
    [
      `<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"x":1}<|call|>`,
      { responseFormat, callFormats },
    ],
    [` to=functions.f<|channel|>commentary<|message|>{"x":1}<|call|>`, { responseFormat, callFormats }],
    [`<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"x":1}<|call|>`, { callFormats }],
    [`<|channel|>commentary to=functions.g code<|message|>not json<|call|>`, { callFormats }],
    [`${ANALYSIS}<|channel|>final<|message|>Free text {<|return|>`, { callFormats }],
  ])("%s", async (script, options) => {
    const { text, finishReason } = await collect(scripted(script), options);
    expect(text).toBe(script);
    expect(finishReason).toBe("stop");
  });
});

describe("what it may not write is kept from it", () => {
  test("reasoning doesn't end the answer: what would end it ends the message, and the next one begins", async () => {
    for (const end of ["<|return|>", "<|call|>", "<|endoftext|>", "<|end|>"]) {
      const script = `<|channel|>analysis<|message|>Hm.${end}`;
      const { text } = await collect(scripted(script), { responseFormat, maxTokens: 30 });
      expect(text.startsWith("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>")).toBe(
        true,
      );
    }
  });

  test("no prose, no control token and no early end within the answer", async () => {
    for (const wrong of [
      "Sure!",
      "<|return|>",
      "<|end|>",
      "<|channel|>",
      '{"sum":<|return|>',
      '{"sum":100}<|return|>',
    ]) {
      const script = `<|channel|>final<|message|>${wrong}`;
      const { messages, finishReason } = await collect(scripted(script), {
        responseFormat,
        maxTokens: 60,
      });
      const content = messages.at(-1)!.content as string;
      expect(content).not.toContain("Sure");
      if (finishReason === "stop") expect(isValid(JSON.parse(content))).toBe(true);
      else expect(finishReason).toBe("length");
    }
  });

  test("<|end|> after a whole answer ends it as <|return|> does", async () => {
    const script = `<|channel|>final<|message|>{"sum":85}<|end|>`;
    const { text, finishReason } = await collect(scripted(script), { responseFormat });
    expect([text, finishReason]).toEqual(['<|channel|>final<|message|>{"sum":85}<|return|>', "stop"]);
  });

  test("malformed headers", async () => {
    for (const header of [
      "<|channel|>finally<|message|>",
      "<|message|>",
      "<|channel|>final<|constrain|>",
      " to=x<|channel|>",
    ]) {
      const { tokens } = await collect(scripted(header), { responseFormat, maxTokens: 40 });
      expect(repairs(tokens)).toEqual([]);
    }
  });

  test("arguments of a call that aren't what its format says", async () => {
    const callFormats = new Map([["functions.f", regexGrammar("[0-9]{3}")]]);
    const script = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>4a5b6c7<|call|>";
    const { messages } = await collect(scripted(script), { callFormats, maxTokens: 40 });
    expect(messages[0]!.content).toMatch(/^4[0-9]{2}$/);
  });
});

test("stop strings and a format of the answer exclude each other", async () => {
  const run = collect(scripted(""), { responseFormat, stop: ["x"] });
  await expect(run).rejects.toThrow("exclude each other");
});

/** A model that has no idea, but for a liking for control tokens. */
function careless(seed: number): TokenSource {
  const { model } = scriptedModel([""]);
  const random = randomNumbers(seed);
  const forward = async (ids: number[], cache: { length: number }): Promise<Float32Array> => {
    cache.length += ids.length;
    return Float32Array.from({ length: 2048 }, (_, id) => random() * 8 + (tokenizer.isSpecial(id) ? 6 : 0));
  };
  return new Session(Object.assign(model, { transformer: { ...model.transformer, forward } }));
}

test("a careless model's answers are valid, or end by length; and its probabilities are its own", async () => {
  const formats = [
    { grammar: responseFormat, check: (text: string) => isValid(JSON.parse(text)) },
    {
      grammar: regexGrammar("(?:yes|no)[.!]{1,3}"),
      check: (text: string) => /^(?:yes|no)[.!]{1,3}$/.test(text),
    },
    { grammar: gbnfGrammar('root ::= "(" root? ")"'), check: (text: string) => /^\(+\)+$/.test(text) },
  ];
  let stopped = 0;
  for (let seed = 0; seed < 30; seed++) {
    const { grammar, check } = formats[seed % 3]!;
    const callFormats = seed % 2 ? new Map([["functions.f", responseFormat]]) : undefined;
    const { messages, finishReason, tokens } = await collect(careless(seed), {
      responseFormat: grammar,
      ...(callFormats && { callFormats }),
      temperature: 1,
      topP: seed % 4 ? 1 : 0.9,
      maxTokens: 150,
      seed,
    });
    expect(repairs(tokens)).toEqual([]);
    expect(tokens.every(({ logprob }) => logprob < 0 && logprob > -30)).toBe(true);
    if (finishReason !== "stop") {
      expect(finishReason).toBe("length");
      continue;
    }
    stopped++;
    const last = messages.at(-1)!;
    const content = last.content as string;
    if (last.recipient) expect(isValid(JSON.parse(content))).toBe(true);
    else expect(check(content), content).toBe(true);
    expect(messages.filter(({ channel }) => channel === "final").length).toBe(last.recipient ? 0 : 1);
  }
  expect(stopped).toBeGreaterThan(10);
});

test("the small model answers in the format", async () => {
  await using model = await load(fileURLToPath(new URL("../../golden/small", import.meta.url)), {
    dialect: "f32",
    engine: "reference",
  });
  for (let seed = 0; seed < 3; seed++) {
    const { messages, finishReason } = await collect(model, {
      responseFormat,
      temperature: 1,
      maxTokens: 160,
      seed,
    });
    if (finishReason === "stop") expect(isValid(JSON.parse(messages.at(-1)!.content as string))).toBe(true);
    else expect(finishReason).toBe("length");
  }
});
