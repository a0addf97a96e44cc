// A model with random weights writes what no trained one would: control tokens anywhere, headers cut off, bytes that aren't text.
// More of the same, and with another model, such as two layers of gpt-oss-20b's shape by `gpt-oss synth`:
//   FUZZ_RUNS=20 FUZZ_MODEL=DIR/model.gguf npx vitest run test/server/random-model.test.ts --testTimeout 3600000
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { register as synth } from "../../src/cli/synth.ts";
import { load, type Model } from "../../src/index.ts";
import { run } from "../cli/run.ts";
import type { OpenApi } from "../support/openapi-requests.ts";
import { listen, MODEL, post, type Running } from "./support.ts";

const RUNS = 25 * Number(process.env["FUZZ_RUNS"] ?? 1);
const SEED = 20260103;

type Json = Record<string, unknown>;
let folder: string;
let model: Model;
let running: Running;
const validators = new Map<string, (value: unknown) => boolean>();
const ajv = new Ajv2020({ strict: false });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gpt-oss-"));
  const path = process.env["FUZZ_MODEL"] ?? join(folder, "nano");
  if (path.startsWith(folder)) await run(synth, "synth", "--shape", "nano", "--format", "hf", "--out", path);
  model = await load(path, path.startsWith(folder) ? { threads: 1 } : {});
  running = await listen(model);
  const document = (await (await fetch(`${running.url}/openapi.json`)).json()) as OpenApi;
  ajv.addSchema({ ...document, $id: "openapi" });
  for (const path of ["/v1/chat/completions", "/v1/completions", "/v1/responses"])
    validators.set(
      path,
      ajv.compile(document.paths[path]!["post"]!.responses["200"]!.content!["application/json"]!.schema!),
    );
}, 120_000);
afterAll(async () => {
  await running[Symbol.asyncDispose]();
  await model.close();
  await rm(folder, { recursive: true });
});

const SPECIALS = ["start", "channel", "message", "constrain", "end", "call", "return", "endoftext"];
const WORDS = [
  "assistant",
  "analysis",
  "commentary",
  "final",
  " to",
  "=functions",
  ".get_weather",
  "json",
  "{",
  '"',
];

/** Makes the parts of Harmony likely, control tokens most, each by a weight of its own. */
const bias = (): fc.Arbitrary<Json> => {
  const tokenizer = model.requireTokenizer();
  // near enough to each other for all to come
  const weights = new Map<number, fc.Arbitrary<number>>();
  for (const id of WORDS.flatMap((word) => tokenizer.encode(word)))
    weights.set(id, fc.integer({ min: 5, max: 9 }));
  for (const name of SPECIALS)
    weights.set(tokenizer.specialId(`<|${name}|>`), fc.integer({ min: 7, max: 10 }));
  return fc.record(Object.fromEntries(weights), { requiredKeys: [] });
};
const sampling = () => ({
  seed: fc.nat(),
  temperature: fc.constantFrom(0, 1, 1, 2),
  logit_bias: bias(),
});
const length = fc.integer({ min: 1, max: 40 });
const text = fc.constantFrom("Why is the sky blue?", "Weather in Tokyo?", "<|call|>", "ü\u0000🙂");
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const declared = { name: "get_weather", description: "The weather", parameters: schema };

const chat = () =>
  fc
    .record(
      {
        ...sampling(),
        max_tokens: length,
        messages: text.map((content) => [{ role: "user", content }]),
        n: fc.integer({ min: 1, max: 2 }),
        logprobs: fc.constant(true),
        tools: fc.constant([{ type: "function", function: declared }]),
        tool_choice: fc.constantFrom("auto", "required", "none"),
        response_format: fc.constantFrom(
          { type: "json_object" },
          { type: "json_schema", json_schema: { name: "city", schema } },
        ),
        stop: fc.constantFrom("e", ["\n", "}"]),
      },
      { requiredKeys: ["seed", "max_tokens", "messages", "logit_bias"] },
    )
    .map(({ tools, tool_choice, response_format, stop, ...body }) => ({
      ...body,
      ...(tools && { tools, ...(tool_choice && { tool_choice }) }),
      ...(response_format ? { response_format } : stop && { stop }), // they exclude each other
    }));
const responses = () =>
  fc
    .record(
      {
        ...sampling(),
        max_output_tokens: length,
        input: text,
        tools: fc.constant([{ type: "function", strict: true, ...declared }]),
        tool_choice: fc.constantFrom("auto", "required", "none"),
        include: fc.constant(["message.output_text.logprobs"]),
        text: fc.constantFrom(
          { format: { type: "json_object" } },
          { format: { type: "json_schema", name: "city", schema } },
        ),
      },
      { requiredKeys: ["seed", "max_output_tokens", "input", "logit_bias"] },
    )
    .map(({ tools, tool_choice, ...body }) => ({
      ...body,
      ...(tools && { tools, ...(tool_choice && { tool_choice }) }),
    }));
const completions = () =>
  fc.record(
    {
      ...sampling(),
      max_tokens: length,
      prompt: fc.oneof(text, fc.array(fc.nat(2000), { minLength: 1, maxLength: 5 })),
      n: fc.integer({ min: 1, max: 2 }),
      logprobs: fc.nat(5),
      echo: fc.boolean(),
      stop: fc.constantFrom("e", ["\n", "}"]),
    },
    { requiredKeys: ["seed", "max_tokens", "prompt", "logit_bias"] },
  );

/** What came by events, as one answer would have it; what is new each time left out. */
const whole: Record<string, (events: Json[]) => unknown> = {
  "/v1/chat/completions": joinChunks,
  "/v1/completions": joinTexts,
  "/v1/responses": (events) => {
    const { response } = events.at(-1) as { response: Json };
    const texts = (response["output"] as Json[]).flatMap(
      (item) => (item["content"] ?? []) as { text: string }[],
    );
    const deltas = events.filter(({ type }) => /_text\.delta$/.test(String(type)));
    expect(deltas.map(({ delta }) => delta).join("")).toBe(texts.map((part) => part.text).join(""));
    return response;
  },
};

for (const [path, body] of [
  ["/v1/chat/completions", chat],
  ["/v1/responses", responses],
  ["/v1/completions", completions],
] as const) {
  test(`whatever a model writes, ${path} answers it in the documented shape, and the same by events`, async () => {
    const ends = new Set<string>();
    await fc.assert(
      fc.asyncProperty(body(), async (request) => {
        const [answer, stream] = await Promise.all(
          [false, true].map((stream) => post(running.url + path, { model: MODEL, ...request, stream })),
        );
        const told = await answer!.text();
        expect(answer!.status, told).toBe(200);
        const json = JSON.parse(told) as Json;
        const validate = validators.get(path)!;
        if (!validate(json)) expect.fail(`${told}: ${ajv.errorsText((validate as never)["errors"])}`);

        const lines = await stream!.text();
        const events = [...lines.matchAll(/^data: (\{.*\})$/gm)].map(([, data]) => JSON.parse(data!) as Json);
        expect(
          events.some((event) => "error" in event && event["error"] !== null),
          lines,
        ).toBe(false);
        expect(lasting(whole[path]!(events)), lines).toEqual(lasting(json));
        for (const [end] of told.matchAll(/"(finish_reason|status)":"\w+"/g)) ends.add(end);
      }),
      { seed: SEED, numRuns: RUNS, endOnFailure: true },
    );
    expect(ends.size).toBeGreaterThan(1); // some were cut, and others ended
    expect(running.server.context.admission.running).toBe(0);
  });
}

/** Without ids, times, and what depends on what was asked before. */
function lasting(answer: unknown): unknown {
  const text = JSON.stringify(answer, (name, value) =>
    /^(id|call_id|created|created_at|completed_at|object|usage)$/.test(name) ? undefined : value,
  );
  return JSON.parse(text);
}

interface Call {
  index?: number;
  function: { name?: string; arguments: string };
}

function joinChunks(events: Json[]): unknown {
  const choices: Json[] = [];
  for (const event of events) {
    for (const { index, delta, logprobs, finish_reason } of event["choices"] as {
      index: number;
      delta: { content?: string; reasoning?: string; tool_calls?: Call[] };
      logprobs: { content: unknown[] } | null;
      finish_reason: string | null;
    }[]) {
      choices[index] ??= { index, message: { content: "", reasoning: "", tool_calls: [] }, logprobs: null };
      const choice = choices[index] as {
        message: { content: string; reasoning: string; tool_calls: Call[] };
        logprobs: { content: unknown[]; refusal: null } | null;
        finish_reason: string;
      };
      const { message } = choice;
      message.content += delta.content ?? "";
      message.reasoning += delta.reasoning ?? "";
      for (const call of delta.tool_calls ?? []) {
        const known = message.tool_calls[call.index!];
        if (known) known.function.arguments += call.function.arguments;
        else message.tool_calls.push({ function: { ...call.function } });
      }
      if (logprobs)
        choice.logprobs = {
          content: [...(choice.logprobs?.content ?? []), ...logprobs.content],
          refusal: null,
        };
      if (finish_reason) choice.finish_reason = finish_reason;
    }
  }
  const shaped = choices.map(({ message, ...choice }) => {
    const { content, reasoning, tool_calls } = message as {
      content: string;
      reasoning: string;
      tool_calls: Call[];
    };
    return {
      ...choice,
      message: {
        role: "assistant",
        content: content === "" && tool_calls.length > 0 ? null : content,
        refusal: null,
        ...(reasoning !== "" && { reasoning, reasoning_content: reasoning }),
        ...(tool_calls.length > 0 && {
          tool_calls: tool_calls.map((call) => ({ type: "function", ...call })),
        }),
      },
    };
  });
  return { choices: shaped, model: MODEL };
}

function joinTexts(events: Json[]): unknown {
  const choices: Json[] = [];
  for (const event of events) {
    for (const { index, ...part } of event["choices"] as (Json & { index: number })[]) {
      const choice = choices[index];
      if (!choice) choices[index] = { index, ...part };
      else {
        choice["text"] = `${choice["text"]}${part["text"]}`;
        choice["token_ids"] = [...(choice["token_ids"] as number[]), ...(part["token_ids"] as number[])];
        choice["finish_reason"] = part["finish_reason"];
        const [before, logprobs] = [choice["logprobs"], part["logprobs"]] as Record<string, unknown[]>[];
        if (before && logprobs)
          for (const name of Object.keys(logprobs)) before[name]!.push(...logprobs[name]!);
        else choice["logprobs"] ??= logprobs;
      }
    }
  }
  return { choices, model: MODEL };
}
