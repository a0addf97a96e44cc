import { readFile } from "node:fs/promises";
import { afterAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../src/checkpoint/open.ts";
import { harmonyLikelihoods } from "../../../src/oracle/live/check.ts";
import { LiveClient } from "../../../src/oracle/live/client.ts";
import { type Agreement, compareLogProbabilities } from "../../../src/oracle/live/log-probabilities.ts";
import { findScorer, type Scorer } from "../../../src/oracle/live/scores.ts";
import { harmonyTexts } from "../../../src/oracle/live/texts.ts";
import { mutantsMatching } from "../../../src/oracle/mutants/index.ts";
import { tokenizer } from "../../support/scripted-model.ts";
import { type FakeServer, fakeServer, Refusal, type Route } from "./fake-server.ts";

const POSITIONS = 24;

/** What transformers computed in float64; see scripts/golden/likelihoods.py. */
interface Golden {
  readonly name: string;
  readonly ids: readonly number[];
  readonly nll: number;
  readonly assistant_nll: number;
  readonly top: Readonly<Record<string, [number, number][]>>;
  readonly top_truncated: Readonly<Record<string, [number, number][]>>;
}
const goldens: Golden[] = (await readFile("golden/likelihoods/small.jsonl", "utf8"))
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));
const checkpoint = await openCheckpoint("golden/small");
afterAll(() => checkpoint.close());
const texts = harmonyTexts(tokenizer);

type Pairs = readonly (readonly [number, number])[];

/** PyTorch's most probable tokens behind a prompt; of one that isn't in the goldens, made up. */
function golden(prompt: readonly number[], of: "top" | "top_truncated"): Pairs {
  const position = prompt.length - 1;
  const text = goldens.find((each) => position in each[of] && prompt.every((id, i) => each.ids[i] === id));
  return (
    text?.[of][position] ?? [
      [1, -0.7],
      [2, -0.9],
    ]
  );
}

/** Ways to tell log-probabilities, as servers have them. */
const completion = (logprobs: unknown): unknown => ({ choices: [{ text: "", logprobs }] });
const FORMATS: Readonly<Record<string, (pairs: Pairs) => unknown>> = {
  "llama.cpp": (pairs) =>
    completion({ content: [{ top_logprobs: pairs.map(([id, logprob]) => ({ id, token: "?", logprob })) }] }),
  vLLM: (pairs) =>
    completion({ top_logprobs: [Object.fromEntries(pairs.map(([id, p]) => [`token_id:${id}`, p]))] }),
  OpenAI: (pairs) =>
    completion({ top_logprobs: [Object.fromEntries(pairs.map(([id, p]) => [tokenizer.decode([id]), p]))] }),
};

const completions =
  (format: string, of: "top" | "top_truncated" = "top"): Route =>
  ({ body }) =>
    body.echo || body.prompt_logprobs ? new Refusal(400) : FORMATS[format]!(golden(body.prompt, of));

const settings = ({ url }: FakeServer) => ({
  ...{ client: new LiveClient(url), model: "m", tokenizer, vocabSize: 2048 },
});
const find = (
  server: FakeServer,
  refused = (_way: string, _why: string) => {},
): Promise<Scorer | undefined> => findScorer(settings(server), texts[0]!.ids, refused);

async function agreementWith(of: "top" | "top_truncated"): Promise<Agreement> {
  await using server = await fakeServer({ "/v1/completions": completions("llama.cpp", of) });
  const scorer = await find(server);
  return await compareLogProbabilities(scorer!, texts.slice(0, 3), {
    checkpoint,
    load: { dialect: "int16", threads: 1 },
    noiseDialect: "int8",
    positions: POSITIONS,
    mutants: mutantsMatching("yarn-truncated,swiglu-no-clamp,window-plus-1"),
  });
}

describe("the Harmony texts", () => {
  it("are those that transformers was asked about", () => {
    expect(texts.map(({ name, ids }) => [name, ids])).toEqual(goldens.map(({ name, ids }) => [name, ids]));
  });
  it("are as likely as transformers finds them", async () => {
    const found = await harmonyLikelihoods(checkpoint, { threads: 1 });
    expect(found.checkpoint).toBe(
      JSON.parse(await readFile("golden/likelihoods/manifest.json", "utf8")).checkpoint,
    );
    for (const [i, { nll, assistantNll }] of found.likelihoods.entries()) {
      expect(Math.abs(nll - goldens[i]!.nll)).toBeLessThan(5e-5);
      expect(Math.abs(assistantNll - goldens[i]!.assistant_nll)).toBeLessThan(5e-5);
    }
  });
});

describe("log-probabilities of a server", () => {
  it("agree where they are those of PyTorch", async () => {
    const { verdict, theirs, noise, explanations } = await agreementWith("top");
    expect(verdict).toBe("agrees");
    expect(explanations).toEqual([]);
    expect(theirs).toMatchObject({ positions: 3 * POSITIONS, flips: 0 });
    expect(theirs.kl).toBeLessThan(1e-7);
    expect(theirs.delta).toBeLessThan(1e-3);
    expect(noise.kl).toBeGreaterThan(1e-5);
  });
  it("are explained where they are those of PyTorch with YaRN truncated, as llama.cpp's", async () => {
    const { verdict, theirs, explanations } = await agreementWith("top_truncated");
    expect(verdict).toBe("explained");
    expect(theirs.kl).toBeGreaterThan(1e-3);
    const [nearest, ...others] = explanations;
    expect(nearest).toMatchObject({ explanation: { name: "yarn-truncated" }, fits: true });
    expect(nearest!.distance.kl).toBeLessThan(1e-7);
    expect(nearest!.nearerBy).toBeGreaterThan(10);
    for (const { fits } of others) expect(fits).toBe(false);
  });
  it.each(Object.keys(FORMATS))("are read in the shape of %s", async (format) => {
    await using server = await fakeServer({ "/v1/completions": completions(format) });
    const scorer = await find(server);
    expect(scorer).toMatchObject({ way: "completions", top: 20 });
    const { ids, top } = goldens[1]!;
    const position = Number(Object.keys(top)[5]);
    const scores = (await scorer!.score(ids, [position])).get(position)!;
    // texts that two tokens share, such as broken UTF-8, can't be told apart in OpenAI's shape
    const expected = top[position]!.filter(([id]) => scores.has(id));
    expect(expected.length).toBeGreaterThanOrEqual(format === "OpenAI" ? 15 : 20);
    for (const [id, logprob] of expected) expect(scores.get(id)).toBe(logprob);
  });
  it("are read from echoes, prompt_logprobs and llama.cpp's own route, too", async () => {
    const pairs = (id: number): Pairs => [
      [id, -0.1],
      [0, -3],
    ];
    const record = (id: number): unknown => Object.fromEntries(pairs(id));
    const ways: [string, Record<string, Route>][] = [
      [
        "echo",
        {
          "/v1/completions": ({ body: { prompt, echo } }) =>
            echo ? completion({ top_token_ids: [null, ...prompt.slice(1).map(record)] }) : new Refusal(400),
        },
      ],
      [
        "prompt_logprobs",
        {
          "/v1/completions": ({ body: { prompt, prompt_logprobs } }) => {
            if (!prompt_logprobs) return new Refusal(400);
            const each = (id: number): unknown =>
              Object.fromEntries(pairs(id).map(([key, logprob]) => [key, { logprob, rank: 1 }]));
            return { choices: [{ prompt_logprobs: [null, ...prompt.slice(1).map(each)] }] };
          },
        },
      ],
      [
        "native",
        {
          "/completion": ({ body: { prompt } }) => ({
            completion_probabilities: [
              {
                top_logprobs: pairs(texts[0]!.ids[prompt.length]!).map(([id, logprob]) => ({ id, logprob })),
              },
            ],
          }),
        },
      ],
    ];
    for (const [way, routes] of ways) {
      await using server = await fakeServer(routes);
      const scorer = await find(server);
      expect(scorer?.way).toBe(way);
      const scores = await scorer!.score(texts[0]!.ids, [3, 40]);
      for (const position of [3, 40]) {
        expect(scores.get(position)).toEqual(new Map(pairs(texts[0]!.ids[position + 1]!)));
      }
    }
  });
  it("are asked for by text only where its control tokens are read as such", async () => {
    let tokens = 0;
    await using server = await fakeServer({
      "/v1/completions": ({ body }) => {
        if (typeof body.prompt !== "string") return new Refusal(422);
        return {
          ...(FORMATS["OpenAI"]!([
            [1, -0.1],
            [2, -3],
          ]) as object),
          usage: { prompt_tokens: tokens },
        };
      },
    });
    const why: string[] = [];
    expect(await find(server, (_, each) => why.push(each))).toBeUndefined();
    expect(why.at(-1)).toMatch(/expected 184: control tokens in texts are read otherwise, found 0/);
    tokens = texts[0]!.ids.length - 1;
    expect((await find(server))?.way).toBe("text");
  });
  it("that no way tells end in the reasons for each", async () => {
    await using server = await fakeServer({});
    const ways = new Set<string>();
    expect(await find(server, (way) => ways.add(way))).toBeUndefined();
    expect([...ways]).toEqual(["echo", "prompt_logprobs", "completions", "native", "text"]);
  });
  it.each<[string, unknown, RegExp]>([
    ["null", null, /expected a finite logarithm of a probability, found null/],
    ["a text", "-1", /finite logarithm/],
    ["positive", 3.2, /finite logarithm of a probability, found 3.2/],
    ["huge", -1e999, /no JSON|finite logarithm/],
  ])("may not be %s", async (_, logprob, message) => {
    await using server = await fakeServer({
      "/v1/completions": () => completion({ content: [{ top_logprobs: [{ id: 1, logprob }] }] }),
    });
    const why: string[] = [];
    expect(await find(server, (_, each) => why.push(each))).toBeUndefined();
    expect(why.join("\n")).toMatch(message);
  });
  it.each<[string, Pairs, RegExp]>([
    [
      "logits",
      [
        [1, -0.01],
        [2, -0.01],
      ],
      /sum to at most 1: are these logits/,
    ],
    [
      "of ids beyond the vocabulary",
      [
        [2048, -1],
        [1, -1],
      ],
      /integer from 0 to 2047, found 2048/,
    ],
    [
      "of one token twice",
      [
        [1, -1],
        [1, -1.5],
      ],
      /each token once/,
    ],
    ["too many", Array.from({ length: 1001 }, (_, i) => [i, -9] as const), /a list of at most 1000/],
  ])("may not be %s", async (_, pairs, message) => {
    await using server = await fakeServer({ "/v1/completions": () => FORMATS["llama.cpp"]!(pairs) });
    const why: string[] = [];
    expect(await find(server, (_, each) => why.push(each))).toBeUndefined();
    expect(why.join("\n")).toMatch(message);
  });
  it("are given up where the server breaks down", async () => {
    await using server = await fakeServer({ "/v1/completions": (_, response) => void response.destroy() });
    await expect(find(server)).rejects.toThrow(/can't speak with the server/);
  });
});
