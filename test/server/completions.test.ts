import { afterAll, expect, test } from "vitest";
import { complete, load } from "../../src/index.ts";
import { listen, MODEL, post, small } from "./support.ts";

const running = await listen(small);
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await small.close();
});
const { client, url } = running;
const tokenizer = small.requireTokenizer();
const PROMPT = "What is 47 + 38?";

/** Choices with what OpenAI's types don't have. */
interface Extended {
  readonly text: string;
  readonly token_ids: number[];
  readonly logprobs: {
    readonly tokens: string[];
    readonly token_logprobs: (number | null)[];
    readonly top_logprobs: (Record<string, number> | null)[];
    readonly text_offset: number[];
    readonly token_ids: number[];
    readonly top_token_ids: (Record<string, number> | null)[];
  };
}

test("raw ids go on as the library's own generation does", async () => {
  const ids = tokenizer.encode(PROMPT);
  const expected: number[] = [];
  for await (const { id } of small.generate(ids, { maxTokens: 8, temperature: 0 })) expected.push(id);
  for (const prompt of [PROMPT, ids]) {
    const { choices, usage } = await client.completions.create({
      model: MODEL,
      prompt,
      max_tokens: 8,
      temperature: 0,
    });
    expect((choices[0] as unknown as Extended).token_ids).toEqual(expected);
    expect(usage).toMatchObject({ prompt_tokens: ids.length, completion_tokens: expected.length });
  }
});

test("echo scores the prompt's own tokens as generation scored them, which is how oracles compare", async () => {
  const ids = tokenizer.encode(PROMPT);
  const generated: { id: number; logprob: number }[] = [];
  for await (const token of small.generate(ids, { maxTokens: 6, temperature: 0, stopTokens: [] }))
    generated.push(token);
  const prompt = [...ids, ...generated.map(({ id }) => id)];
  const { choices } = await client.completions.create({
    model: MODEL,
    prompt,
    max_tokens: 0,
    echo: true,
    logprobs: 2,
  });
  const { text, logprobs, token_ids } = choices[0] as unknown as Extended;
  expect(text).toBe(tokenizer.decode(prompt));
  expect(token_ids).toEqual([]);
  expect(logprobs.token_ids).toEqual(prompt);
  expect(logprobs.token_logprobs[0]).toBeNull();
  expect(logprobs.token_logprobs.slice(ids.length)).toEqual(generated.map(({ logprob }) => logprob));
  for (const [i, { id, logprob }] of generated.entries()) {
    expect(logprobs.top_token_ids[ids.length + i]![id]).toBe(logprob); // greedy: the token is the most probable one
  }
  expect(logprobs.text_offset).toEqual(prompt.map((_, i) => tokenizer.decode(prompt.slice(0, i)).length));
});

test("several prompts, several choices: in order, with seeds of their own, the same again", async () => {
  const body = {
    model: MODEL,
    prompt: ["Who are", "What is"],
    n: 2,
    max_tokens: 6,
    seed: 7,
    temperature: 1.5,
  };
  const [once, again] = [await client.completions.create(body), await client.completions.create(body)];
  const texts = once.choices.map(({ text }) => text);
  expect(once.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  expect(again.choices.map(({ text }) => text)).toEqual(texts);
  expect(texts[0]).not.toBe(texts[1]);
  expect(once.usage?.completion_tokens).toBe(
    (once.choices as unknown as Extended[]).reduce((sum, { token_ids }) => sum + token_ids.length, 0),
  );
});

test("a stream says what the whole answer says", async () => {
  const body = { model: MODEL, prompt: PROMPT, max_tokens: 12, temperature: 0, logprobs: 1, echo: true };
  const whole = await client.completions.create(body);
  const pieces: Extended[] = [];
  let usage: unknown;
  for await (const chunk of await client.completions.create({
    ...body,
    stream: true,
    stream_options: { include_usage: true },
  })) {
    pieces.push(...(chunk.choices as unknown as Extended[]));
    if (chunk.usage) usage = chunk.usage;
  }
  const expected = whole.choices[0] as unknown as Extended;
  expect(pieces.map(({ text }) => text).join("")).toBe(expected.text);
  expect(pieces.flatMap(({ logprobs }) => logprobs?.text_offset ?? [])).toEqual(
    expected.logprobs.text_offset,
  );
  expect(pieces.flatMap(({ token_ids }) => token_ids)).toEqual(expected.token_ids);
  expect(usage).toEqual(whole.usage);
});

test("stop strings cut the text", async () => {
  const body = { model: MODEL, prompt: PROMPT, max_tokens: 12, temperature: 0 };
  const free = (await client.completions.create(body)).choices[0]!.text;
  const stop = free.slice(3, 6);
  const { choices } = await client.completions.create({ ...body, stop });
  expect(choices[0]).toMatchObject({ text: free.slice(0, free.indexOf(stop)), finish_reason: "stop" });
});

test.each<[object, string]>([
  [{ prompt: "x", suffix: "y" }, "suffix"],
  [{ prompt: "x", best_of: 2 }, "best_of"],
  [{ prompt: "x", logprobs: 6 }, "logprobs"],
  [{ prompt: "x", max_tokens: 0 }, "max_tokens"],
  [{ prompt: "" }, "prompt"],
  [{ prompt: [] }, "prompt"],
  [{ prompt: [[]] }, "prompt"],
  [{ prompt: [-1] }, "prompt"],
  [{ prompt: [1, 2048] }, "prompt"],
  [{ prompt: ["x", 1] }, "prompt"],
  [{ prompt: Array.from({ length: 81 }, () => "x") }, "prompt"],
  [{ prompt: "x", n: 9 }, "n"],
  [{ prompt: "x", seed: 1.5 }, "seed"],
  [{ prompt: "x", logit_bias: { a: 1 } }, "logit_bias"],
])("%j is a 400 that names %s", async (body, param) => {
  const response = await post(`${url}/v1/completions`, { model: MODEL, ...body });
  const { error } = (await response.json()) as { error: { param: string; type: string } };
  expect(response.status).toBe(400);
  expect(error.type).toBe("invalid_request_error");
  expect(error.param.split(/[.[]/)[0]).toBe(param);
});

test("a bias bans a token or forces it, and penalties drive repetition out", async () => {
  const [id] = tokenizer.encode("7");
  const body = { model: MODEL, prompt: PROMPT, max_tokens: 5, temperature: 0 };
  const forced = await client.completions.create({ ...body, logit_bias: { [id!]: 100 } });
  expect((forced.choices[0] as unknown as Extended).token_ids).toEqual([id, id, id, id, id]);
  const penalised = await client.completions.create({
    ...body,
    logit_bias: { [id!]: 100 },
    frequency_penalty: 2,
    max_tokens: 60,
  });
  expect((penalised.choices[0] as unknown as Extended).token_ids.filter((each) => each !== id)).not.toEqual(
    [],
  );
});

test("the prompt of a chat, sent as ids, is answered as the chat is", async () => {
  const { renderForCompletion, systemMessage } = await import("../../src/harmony/index.ts");
  const ids = renderForCompletion(tokenizer, [systemMessage(), { role: "user", content: PROMPT }]);
  let answer = "";
  for await (const { header, delta } of complete(small, ids, { temperature: 0 }))
    if (header?.channel === "final") answer += delta;
  const { choices } = await client.completions.create({
    model: MODEL,
    prompt: ids,
    temperature: 0,
    max_tokens: 200,
  });
  expect(tokenizer.decode((choices[0] as unknown as Extended).token_ids)).toContain(
    `final<|message|>${answer}<|return|>`,
  );
});

test("a model without tokenizer answers ids with ids, and texts with a 400 that says so", async () => {
  await using model = await load("golden/small", { threads: 1, tokenizer: false });
  await using bare = await listen(model);
  const ids = tokenizer.encode(PROMPT);
  const body = { model: MODEL, prompt: ids, max_tokens: 4, temperature: 0, logprobs: 1 };
  const { choices } = await (await post(`${bare.url}/v1/completions`, body)).json();
  const [expected] = (await client.completions.create(body)).choices as unknown as Extended[];
  expect(choices[0].token_ids).toEqual(expected!.token_ids);
  expect(choices[0].text).toBe("");
  expect(choices[0].logprobs.token_ids).toEqual(expected!.logprobs.token_ids);

  const text = "of whatever kind";
  const refused: [path: string, body: object][] = [
    ["completions", { prompt: text }],
    ["completions", { prompt: ids, stop: text, stream: true }],
    ["chat/completions", { messages: [{ role: "user", content: text }] }],
    ["responses", { input: text }],
    ["responses", { input: text, truncation: "auto", background: true }],
  ];
  for (const [path, body] of refused) {
    const response = await post(`${bare.url}/v1/${path}`, { model: MODEL, ...body });
    expect(response.status, path).toBe(400);
    expect((await response.json()).error).toMatchObject({
      code: "no_tokenizer",
      message:
        "The model 'small' came without a tokenizer: it takes nothing but token ids, at /v1/completions.",
    });
  }
});
