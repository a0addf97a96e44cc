import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { LengthFinishReasonError } from "openai/error";
import { zodFunction, zodResponseFormat, zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { afterAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { openStore } from "../../../src/server/index.ts";
import { listen, MODEL, small, until } from "../support.ts";
import { answer, call, listenScripted, shown, thought } from "./support.ts";

/*
 * What OpenAI's client does on its own: helpers that parse, that run functions and that gather streams; classes of errors;
 * trying again. Each API as such has tests of its own.
 */
const running = await listen(small);
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await small.close();
});
const { client } = running;

const low = { model: MODEL, temperature: 0, reasoning_effort: "low" } as const;
const person = z.object({ name: z.string(), age: z.number() });
const city = z.object({ city: z.string() });
const ann = { name: "Ann", age: 31 };
const user = (content: string) => ({ role: "user", content }) as const;

describe("helpers of chat completions", () => {
  it("parse an answer by a zod schema, whole and streamed", async () => {
    const body = {
      ...low,
      messages: [user("Ann is 31 years old.")],
      response_format: zodResponseFormat(person, "person"),
    };
    const whole = await client.chat.completions.parse(body);
    expect(whole.choices[0]!.message.parsed).toEqual(ann);
    const stream = client.chat.completions.stream(body);
    const states: unknown[] = [];
    stream.on("content.delta", ({ parsed }) => states.push(parsed));
    expect((await stream.finalChatCompletion()).choices[0]!.message.parsed).toEqual(ann);
    expect(states.at(-1)).toEqual(ann);
  });

  it("parse the arguments of a strict function", async () => {
    const { choices } = await client.chat.completions.parse({
      ...low,
      messages: [user("Get the weather in Paris.")],
      tools: [
        zodFunction({
          name: "get_weather",
          description: "Get the current weather in a city.",
          parameters: city,
        }),
      ],
      tool_choice: "required",
    });
    expect(choices[0]!.message.tool_calls![0]!.function.parsed_arguments).toEqual({ city: "Paris" });
  });

  it("say so where an answer was cut before it could be parsed", async () => {
    const cut = client.chat.completions.parse({
      ...low,
      messages: [user("Ann is 31 years old.")],
      response_format: zodResponseFormat(person, "person"),
      max_completion_tokens: 3,
    });
    await expect(cut).rejects.toThrow(LengthFinishReasonError);
  });

  it.each([false, true])("run functions until there is an answer (streamed: %s)", async (isStream) => {
    const [paris, rome] = [{ city: "Paris" }, { city: "Rome" }];
    await using server = await listenScripted([
      call("get_weather", paris),
      call("get_weather", rome),
      answer("Both are cloudy."),
    ]);
    const called: unknown[] = [];
    const body = {
      model: "scripted",
      messages: [user("The weather?")],
      tools: [
        {
          type: "function" as const,
          function: {
            name: "get_weather",
            description: "Weather",
            parameters: { type: "object", properties: { city: { type: "string" } } },
            parse: JSON.parse,
            function: (given: object) => {
              called.push(given);
              return "cloudy";
            },
          },
        },
      ],
    };
    const own = new OpenAI({ baseURL: server.url, apiKey: "none" });
    const runner = isStream
      ? own.chat.completions.runTools({ ...body, stream: true })
      : own.chat.completions.runTools(body);
    expect(await runner.finalContent()).toBe("Both are cloudy.");
    expect(called).toEqual([paris, rome]);
    expect(
      server.prompts[2]!.endsWith(
        `${shown("get_weather", paris, "cloudy")}${shown("get_weather", rome, "cloudy")}<|start|>assistant`,
      ),
    ).toBe(true);
  });
});

describe("helpers of responses", () => {
  it("gather a stream: text, parsed object, parsed arguments", async () => {
    const ask = { model: MODEL, temperature: 0, reasoning: { effort: "low" } } as const;
    const text = client.responses.stream({ ...ask, input: "What is 47 + 38?" });
    let deltas = "";
    text.on("response.output_text.delta", ({ delta }) => {
      deltas += delta;
    });
    expect((await text.finalResponse()).output_text).toBe(deltas);
    expect(deltas).toContain("85");

    const object = client.responses.stream({
      ...ask,
      input: "Ann is 31 years old.",
      text: { format: zodTextFormat(person, "person") },
    });
    expect((await object.finalResponse()).output_parsed).toEqual(ann);

    const calling = client.responses.stream({
      ...ask,
      input: "Get the weather in Paris.",
      tools: [
        zodResponsesFunction({
          name: "get_weather",
          description: "Get the weather in a city",
          parameters: city,
        }),
      ],
      tool_choice: "required",
    });
    const { output } = await calling.finalResponse();
    expect(output.at(-1)).toMatchObject({ type: "function_call", parsed_arguments: { city: "Paris" } });
  });

  it("have a response's whole life, across a restart of the server", async () => {
    const folder = mkdtempSync(join(tmpdir(), "clients-"));
    const file = join(folder, "responses.db");
    const start = async () => {
      const store = await openStore({ file });
      const server = await listenScripted([thought("They greet.") + answer("Hello.")], { store });
      const own = new OpenAI({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
      return { server, store, responses: own.responses };
    };
    const ask = { model: "scripted", input: "Hi" };
    try {
      const before = await start();
      const first = await before.responses.create(ask);
      await before.server[Symbol.asyncDispose]();
      await before.store.close();

      const { server, store, responses } = await start();
      expect(await responses.retrieve(first.id)).toMatchObject({ output: first.output });
      const items = await responses.inputItems.list(first.id);
      expect(items.data).toMatchObject([{ role: "user", content: [{ type: "input_text", text: "Hi" }] }]);
      const second = await responses.create({ ...ask, previous_response_id: first.id });
      expect(second.output_text).toBe("Hello.");
      expect(server.prompts[0]).toContain("Hello.<|end|><|start|>user<|message|>Hi<|end|>");
      await responses.delete(first.id);
      await expect(responses.retrieve(first.id)).rejects.toThrow(OpenAI.NotFoundError);
      const { id } = await responses.create({ ...ask, background: true });
      await until(() => server.server.context.admission.running === 0);
      expect(await responses.cancel(id)).toMatchObject({
        status: expect.stringMatching(/^(completed|cancelled)$/),
      });
      await server[Symbol.asyncDispose]();
      await store.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("errors", () => {
  const messages = [user("Hi")];
  const chat = (own: OpenAI, fields: object = {}) =>
    own.chat.completions.create({ model: MODEL, messages, max_tokens: 1, ...fields });

  it("have the classes that the client has for them, from every API", async () => {
    const bad = { temperature: 9 };
    const none = { model: "gpt-5" };
    for (const create of [
      (fields: object) => chat(client, fields),
      (fields: object) => client.completions.create({ model: MODEL, prompt: "Hi", ...fields }),
      (fields: object) => client.responses.create({ model: MODEL, input: "Hi", ...fields }),
    ]) {
      const refused = expect(create(bad)).rejects;
      await refused.toThrow(OpenAI.BadRequestError);
      await refused.toMatchObject({
        status: 400,
        type: "invalid_request_error",
        param: "temperature",
        requestID: expect.stringMatching(/^req_/),
      });
      await expect(create(none)).rejects.toThrow(OpenAI.NotFoundError);
      await expect(create(none)).rejects.toMatchObject({ code: "model_not_found", param: "model" });
    }
    await expect(client.models.retrieve("gpt-5")).rejects.toThrow(OpenAI.NotFoundError);
    await expect(client.responses.retrieve("resp_none")).rejects.toThrow(OpenAI.NotFoundError);
  });

  it("ask for the right key", async () => {
    await using guarded = await listen(small, { apiKeys: ["right"] });
    const wrong = new OpenAI({ baseURL: `${guarded.url}/v1`, apiKey: "wrong", maxRetries: 0 });
    await expect(chat(wrong)).rejects.toThrow(OpenAI.AuthenticationError);
    await expect(wrong.models.list()).rejects.toMatchObject({ status: 401, code: "invalid_api_key" });
    expect((await chat(guarded.client)).choices).toHaveLength(1);
  });

  it("of a busy server are tried again after the time that it names", async () => {
    await using busy = await listen(small, { parallel: 1, queue: 0 });
    const endless = Object.fromEntries(small.defaults.stopTokens.map((id) => [id, -100]));
    const first = await chat(busy.client, { stream: true, max_tokens: undefined, logit_bias: endless });
    await expect(chat(busy.client)).rejects.toThrow(OpenAI.RateLimitError);
    const statuses: number[] = [];
    const waits: number[] = [];
    const patient = new OpenAI({
      baseURL: `${busy.url}/v1`,
      apiKey: "none",
      maxRetries: 1,
      fetch: async (...args) => {
        const start = performance.now();
        const response = await fetch(...args);
        statuses.push(response.status);
        if (response.status === 429) {
          waits.push(start + Number(response.headers.get("retry-after")) * 1000);
          (first as unknown as { controller: AbortController }).controller.abort();
        } else waits.push(start);
        return response;
      },
    });
    expect((await chat(patient)).choices).toHaveLength(1);
    expect(statuses).toEqual([429, 200]);
    expect(waits[1]).toBeGreaterThanOrEqual(waits[0]!);
  });

  it("of the client's own making stop the work", async () => {
    const endless = Object.fromEntries(small.defaults.stopTokens.map((id) => [id, -100]));
    const body = { model: MODEL, messages, logit_bias: endless };
    const abort = new AbortController();
    const whole = client.chat.completions.create(body, { signal: abort.signal });
    const failure = expect(whole).rejects.toThrow(OpenAI.APIUserAbortError);
    await until(() => running.server.context.admission.running === 1);
    abort.abort();
    await failure;
    await running.server.context.admission.idle();

    const timed = client.chat.completions.create(body, { timeout: 50 });
    await expect(timed).rejects.toThrow(OpenAI.APIConnectionTimeoutError);
    await running.server.context.admission.idle();
  });
});
