import type { OpenCheckpoint } from "../../checkpoint/open.ts";
import { checkpointDigest } from "../../checkpoint/open.ts";
import { UsageError } from "../../errors.ts";
import { readTokenizer } from "../../generation/companions.ts";
import type { LoadOptions } from "../../generation/model.ts";
import type { DialectName } from "../../numerics/dialects.ts";
import type { Tokenizer } from "../../tokenizer/index.ts";
import type { Mutant } from "../mutants/index.ts";
import { CASES, type CaseResult, runCase } from "./behaviour.ts";
import { type ClientOptions, LiveClient, ServerError } from "./client.ts";
import { Answer } from "./fields.ts";
import { type Agreement, compareLogProbabilities, referenceLikelihoods } from "./log-probabilities.ts";
import type { TextLikelihood } from "./reference.ts";
import { findScorer, type ScoreWay } from "./scores.ts";
import { type HarmonyText, harmonyTexts, TEXTS_VERSION } from "./texts.ts";

export interface CheckOptions extends ClientOptions {
  /** Name that the server knows the model by; default: the first that it lists. */
  readonly servedName?: string;
  /** Our own runs; default dialect int16, which is float32's to 1e-9 nats, and fast. */
  readonly load?: LoadOptions;
  /** What rounding is measured by; default int8. */
  readonly noiseDialect?: DialectName;
  /** Positions of each text, where each takes a request; default 32. */
  readonly positions?: number;
  /** Known bugs to try where the server is off by more than noise; default: those that are but another configuration. */
  readonly mutants?: readonly Mutant[];
  /** Tokens that an answer may take; default 1000. */
  readonly maxTokens?: number;
  readonly onProgress?: (what: string) => void;
}

/** What a check found. */
export interface ServerReport {
  readonly url: string;
  /** As the server names it. */
  readonly model: string;
  readonly checkpoint: string;
  readonly scoring: {
    /** How the server tells log-probabilities; undefined if it doesn't. */
    readonly way?: ScoreWay;
    readonly top?: number;
    readonly refused: readonly { readonly way: ScoreWay; readonly why: string }[];
  };
  readonly agreement?: Agreement;
  readonly cases: readonly CaseResult[];
  /** Whether nothing failed. What isn't offered is no failure. */
  readonly ok: boolean;
}

/**
 * Examines a server that speaks OpenAI's API and is said to serve this checkpoint: whether its log-probabilities are the
 * model's, which known bug they have if not, and whether it reads and writes Harmony.
 *
 * @throws ServerError if there is no such server, or it misbehaves as a server
 */
export async function checkServer(
  url: string,
  checkpoint: OpenCheckpoint,
  options: CheckOptions = {},
): Promise<ServerReport> {
  const { onProgress = () => {}, load = {} } = options;
  const tokenizer = await requireTokenizer(checkpoint);
  const client = new LiveClient(url, options);
  const model = options.servedName ?? (await firstModel(client));
  const texts = harmonyTexts(tokenizer);
  const refused: { way: ScoreWay; why: string }[] = [];
  const { vocabSize } = checkpoint.config;
  onProgress("looking for log-probabilities");
  const scorer = await findScorer({ client, model, tokenizer, vocabSize }, texts[0]!.ids, (way, why) =>
    refused.push({ way, why }),
  );
  const agreement =
    scorer &&
    (await compareLogProbabilities(scorer, texts, {
      checkpoint,
      load: { ...load, dialect: load.dialect ?? "int16" },
      noiseDialect: options.noiseDialect ?? "int8",
      positions: options.positions ?? 32,
      ...(options.mutants && { mutants: options.mutants }),
      onProgress,
    }));
  const server = { client, model, tokenizer, maxTokens: options.maxTokens ?? 1000 };
  const cases: CaseResult[] = [];
  for (const each of CASES) {
    onProgress(each[0]);
    cases.push(await runCase(each, server));
  }
  return {
    ...{ url: client.base, model, checkpoint: await checkpointDigest(checkpoint) },
    scoring: scorer ? { way: scorer.way, top: scorer.top, refused } : { refused },
    ...(agreement && { agreement }),
    cases,
    ok: (agreement?.verdict ?? "agrees") === "agrees" && cases.every(({ status }) => status !== "failed"),
  };
}

/** Reference likelihoods of the fixed texts, for publication. */
export interface Likelihoods {
  /** Version of the texts. */
  readonly version: number;
  readonly checkpoint: string;
  readonly dialect: DialectName;
  readonly likelihoods: readonly TextLikelihood[];
  /** The texts themselves, for runtimes that can't be asked over HTTP. */
  readonly texts: readonly HarmonyText[];
}

export async function harmonyLikelihoods(
  checkpoint: OpenCheckpoint,
  load: LoadOptions = {},
): Promise<Likelihoods> {
  const texts = harmonyTexts(await requireTokenizer(checkpoint));
  const dialect = load.dialect ?? "int16";
  const likelihoods = await referenceLikelihoods(checkpoint, { ...load, dialect }, texts);
  return {
    version: TEXTS_VERSION,
    checkpoint: await checkpointDigest(checkpoint),
    dialect,
    likelihoods,
    texts,
  };
}

async function requireTokenizer(checkpoint: OpenCheckpoint): Promise<Tokenizer> {
  const tokenizer = await readTokenizer(checkpoint);
  if (tokenizer) return tokenizer;
  throw new UsageError("the checkpoint has no tokenizer", {
    where: checkpoint.location,
    hint: "Put the model's tokenizer.json beside its config.json.",
  });
}

async function firstModel(client: LiveClient): Promise<string> {
  try {
    const list = new Answer(await client.get("/v1/models"), "/v1/models").at("data").list(1000);
    if (list.length > 0) return list[0]!.at("id").text();
  } catch (error) {
    if (!(error instanceof ServerError && error.isRefusal)) throw error;
  }
  throw new UsageError("the server lists no models", {
    where: client.base,
    hint: "Name one: --served-name NAME.",
  });
}
