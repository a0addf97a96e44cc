import type { Tokenizer } from "../../tokenizer/index.ts";
import { type LiveClient, ServerError } from "./client.ts";
import { Answer } from "./fields.ts";

/** Logarithms of the most probable next tokens' probabilities, by id. */
export type TopScores = ReadonlyMap<number, number>;

/** A server's scores at some positions of a text: those of the token behind ids[0..position]. */
export type TextScores = ReadonlyMap<number, TopScores>;

/** How a server tells the log-probabilities of next tokens, best first. */
const SCORE_WAYS = ["echo", "prompt_logprobs", "completions", "native", "text"] as const;
export type ScoreWay = (typeof SCORE_WAYS)[number];

export const WAY_NAMES: Readonly<Record<ScoreWay, string>> = {
  echo: "/v1/completions of token ids with echo",
  prompt_logprobs: "/v1/completions of token ids with vLLM's prompt_logprobs",
  completions: "/v1/completions of token ids, one token a request",
  native: "llama.cpp's /completion of token ids, one token a request",
  text: "/v1/completions of text with control tokens in it, one token a request",
};

/** Asks one server, in one way. */
export interface Scorer {
  readonly way: ScoreWay;
  /** Most probable tokens that a position tells. */
  readonly top: number;
  score(ids: readonly number[], positions: readonly number[]): Promise<TextScores>;
}

export interface ScorerSettings {
  readonly client: LiveClient;
  readonly model: string;
  readonly tokenizer: Tokenizer;
  readonly vocabSize: number;
}

/**
 * Finds out how a server tells log-probabilities.
 *
 * @param ids a short text to try with, of at least three tokens
 * @param refused told of each way that the server doesn't offer, and why
 * @returns undefined if it offers none
 */
export async function findScorer(
  settings: ScorerSettings,
  ids: readonly number[],
  refused: (way: ScoreWay, why: string) => void,
): Promise<Scorer | undefined> {
  for (const way of SCORE_WAYS) {
    for (const top of [20, 5]) {
      const scorer = { way, top, score: WAYS[way](settings, top) };
      try {
        const scores = await scorer.score(ids, [ids.length - 2]);
        if ((scores.get(ids.length - 2)?.size ?? 0) >= 2) return scorer;
        refused(way, `no log-probabilities of ${top} tokens in the answer`);
      } catch (error) {
        if (!(error instanceof ServerError)) throw error;
        if (!error.isRefusal && error.status === undefined && !/another shape/.test(error.message))
          throw error;
        refused(way, error.message);
      }
    }
  }
  return undefined;
}

type Way = (settings: ScorerSettings, top: number) => Scorer["score"];

/** A request a position, each of which makes one token. */
const oneByOne =
  (ask: (prompt: readonly number[]) => Promise<TopScores>): Scorer["score"] =>
  async (ids, positions) => {
    const scores = new Map<number, TopScores>();
    for (const position of positions) scores.set(position, await ask(ids.slice(0, position + 1)));
    return scores;
  };

const WAYS: Readonly<Record<ScoreWay, Way>> = {
  echo: (settings, top) => async (ids, positions) => {
    const { client, model } = settings;
    const body = {
      ...{ model, prompt: ids, max_tokens: 0, echo: true, logprobs: top, temperature: 0 },
      return_tokens_as_token_ids: true, // vLLM's: keys become token_id:N
    };
    const choice = new Answer(await client.post("/v1/completions", body), "/v1/completions").at("choices", 0);
    const logprobs = choice.at("logprobs");
    const byId = logprobs.at("top_token_ids");
    const tops = (byId.exists ? byId : logprobs.at("top_logprobs")).list(ids.length + 1);
    if (tops.length < ids.length)
      logprobs.fail(`an entry for each of ${ids.length} tokens: is echo ignored?`);
    const read = byId.exists ? readById : readByText;
    return new Map(positions.map((position) => [position, read(settings, tops[position + 1]!)]));
  },
  prompt_logprobs: (settings, top) => async (ids, positions) => {
    const { client, model } = settings;
    const body = { model, prompt: ids, max_tokens: 1, prompt_logprobs: top, temperature: 0 };
    const choice = new Answer(await client.post("/v1/completions", body), "/v1/completions").at("choices", 0);
    const tops = choice.at("prompt_logprobs").list(ids.length);
    if (tops.length < ids.length)
      choice.at("prompt_logprobs").fail(`an entry for each of ${ids.length} tokens`);
    const read = (each: Answer): TopScores =>
      checked(
        settings,
        each,
        each.entries(MAX_TOP).map(([id, score]) => [Number(id), score.at("logprob")]),
      );
    return new Map(positions.map((position) => [position, read(tops[position + 1]!)]));
  },
  completions: (settings, top) =>
    oneByOne(async (prompt) => {
      const { client, model } = settings;
      const body = {
        model,
        prompt,
        max_tokens: 1,
        logprobs: top,
        temperature: 0,
        return_tokens_as_token_ids: true,
      };
      return readCompletion(settings, await client.post("/v1/completions", body));
    }),
  native: (settings, top) =>
    oneByOne(async (prompt) => {
      const body = { prompt, n_predict: 1, n_probs: top, temperature: 0 };
      const answer = new Answer(await settings.client.post("/completion", body), "/completion");
      return readList(settings, answer.at("completion_probabilities", 0, "top_logprobs"));
    }),
  text: (settings, top) =>
    oneByOne(async (ids) => {
      const { client, model, tokenizer } = settings;
      const body = { model, prompt: tokenizer.decode(ids), max_tokens: 1, logprobs: top, temperature: 0 };
      const json = await client.post("/v1/completions", body);
      const told = new Answer(json, "/v1/completions").at("usage", "prompt_tokens");
      if (told.value !== ids.length) told.fail(`${ids.length}: control tokens in texts are read otherwise`);
      return readCompletion(settings, json);
    }),
};

/** More than anybody was asked for. */
const MAX_TOP = 1000;

/** The first made token's, in OpenAI's shape for completions or in the one of chat completions, which llama.cpp uses. */
function readCompletion(settings: ScorerSettings, json: unknown): TopScores {
  const logprobs = new Answer(json, "/v1/completions").at("choices", 0, "logprobs");
  if (logprobs.at("content").exists) return readList(settings, logprobs.at("content", 0, "top_logprobs"));
  const byId = logprobs.at("top_token_ids", 0);
  return byId.exists ? readById(settings, byId) : readByText(settings, logprobs.at("top_logprobs", 0));
}

/** [{id, token, logprob}] */
function readList(settings: ScorerSettings, list: Answer): TopScores {
  const ids = idsByText(settings.tokenizer);
  return checked(
    settings,
    list,
    list.list(MAX_TOP).flatMap((each): [number, Answer][] => {
      const id = each.at("id").exists
        ? each.at("id").integer(settings.vocabSize)
        : ids.get(each.at("token").text());
      return id === undefined ? [] : [[id, each.at("logprob")]];
    }),
  );
}

/** {"17": −0.5} */
function readById(settings: ScorerSettings, record: Answer): TopScores {
  return checked(
    settings,
    record,
    record.entries(MAX_TOP).map(([id, score]) => [Number(id), score]),
  );
}

/** {"token_id:17": −0.5}, or by the token's text; texts that several tokens have are left out. */
function readByText(settings: ScorerSettings, record: Answer): TopScores {
  const ids = idsByText(settings.tokenizer);
  const scores = record.entries(MAX_TOP).flatMap(([text, score]): [number, Answer][] => {
    const id = /^token_id:\d+$/.test(text) ? Number(text.slice(9)) : ids.get(text);
    return id === undefined ? [] : [[id, score]];
  });
  return checked(settings, record, scores);
}

/** Probabilities sum to at most 1, and ids are of the vocabulary. */
function checked({ vocabSize }: ScorerSettings, of: Answer, scores: readonly [number, Answer][]): TopScores {
  const top = new Map<number, number>();
  let sum = 0;
  for (const [id, score] of scores) {
    if (!Number.isSafeInteger(id) || id < 0 || id >= vocabSize)
      of.fail(`ids of a vocabulary of ${vocabSize}`);
    const logprob = Math.min(score.logprob(), 0);
    if (top.has(id)) of.fail("each token once");
    top.set(id, logprob);
    sum += Math.exp(logprob);
  }
  return sum < 1.001 ? top : of.fail("probabilities that sum to at most 1: are these logits?");
}

/** Ids of texts that only one token has. */
function idsByText(tokenizer: Tokenizer): ReadonlyMap<string, number> {
  let ids: Map<string, number> | undefined = BY_TEXT.get(tokenizer);
  if (ids === undefined) {
    ids = new Map<string, number>();
    const several = new Set<string>();
    for (let id = 0; id < tokenizer.size; id++) {
      const text = tokenizer.decode([id]);
      if (ids.has(text)) several.add(text);
      ids.set(text, id);
    }
    for (const text of several) ids.delete(text);
    BY_TEXT.set(tokenizer, ids);
  }
  return ids;
}

const BY_TEXT = new WeakMap<Tokenizer, Map<string, number>>();
