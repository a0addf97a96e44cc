import type { ModelConfig } from "../config.ts";
import type { EngineOptions } from "../engine/index.ts";
import type { HostTensor } from "../engine/ops.ts";
import { GptOssError, UsageError } from "../errors.ts";
import type { DialectName } from "../numerics/dialects.ts";
import { type Contrast, contrast, decides, looksLike, score } from "./mutants/evidence.ts";
import { MUTANTS, type Mutant } from "./mutants/index.ts";
import { quantile, type Rows, rowDistances, rowsOf } from "./mutants/rows.ts";
import { MutantRunner, type Subject } from "./mutants/runner.ts";

/**
 * Which known bug explains a run's logits: they are compared with those of the correct model, and of every mutant of it.
 *
 * 1. All mutants run in `int16`, which is fast and nearly exact.
 * 2. The nearest, and the correct model, run again in the dialects that theirs could be.
 * 3. Theirs is *correct* if what is left of it beside the correct model looks like the measured noise of some dialect, and no mutant
 *    explains it clearly better. It has a *bug* if a mutant does, and what is left looks like noise beside that. Mutants that
 *    these tokens can't tell apart are named together.
 * 4. Otherwise pairs of mutants are tried, from the nearest. If none fits, the bug is *unknown*.
 */
export interface Diagnosis {
  readonly verdict: "correct" | "bug" | "unknown" | "not-finite";
  /** With a bug: each of these explains theirs as well as any other, and more than one member is a combination. */
  readonly bugs: readonly (readonly Mutant[])[];
  /** The dialect whose noise the rest looks like. */
  readonly precision: DialectName | undefined;
  /** Distance from the correct model, relative rms, median over tokens. */
  readonly distance: number;
  /** Of correct runs in each dialect from the truth, likewise. */
  readonly noise: ReadonlyMap<DialectName, number>;
  /** First token that strays by more than noise from the correct model. */
  readonly firstToken: number | undefined;
  /** The nearest first; the correct model is the one without mutants. */
  readonly candidates: readonly Candidate[];
  /** What these tokens and this noise can't show. */
  readonly hidden: readonly HiddenMutant[];
}

export interface Candidate {
  readonly mutants: readonly Mutant[];
  /** Median over tokens of theirs' relative rms distance. */
  readonly distance: number;
  /** The dialect in which it is nearest. */
  readonly dialect: DialectName;
  /** Beside the correct model. */
  readonly contrast: Contrast | undefined;
}

export interface HiddenMutant {
  readonly mutant: Mutant;
  /** Tokens that a prompt needs, where more would help. */
  readonly needsTokens?: number;
}

export interface DiagnoseOptions {
  readonly mutants?: readonly Mutant[];
  /** Told of model runs. */
  readonly onProgress?: (done: number, total: number, what: string) => void;
  /** Dialects that theirs could be, if it is known. */
  readonly dialects?: readonly DialectName[];
}

/** Weights beyond which the reference engine is too slow, in bytes. */
const LARGE = 2 ** 26;

const BF16: readonly DialectName[] = ["bf16-openai", "bf16-hf"];

/** One checkpoint and prompt: what is computed for one diagnosis serves the next. */
export class Laboratory implements AsyncDisposable {
  readonly ids: readonly number[];
  readonly config: ModelConfig;
  readonly #runner: MutantRunner;
  readonly #isLarge: boolean;
  readonly #rows = new Map<string, Promise<Rows>>();
  #vocab: number;

  /** @param checkpoint stays open */
  constructor(checkpoint: Subject, ids: readonly number[], options: EngineOptions = {}) {
    this.ids = ids;
    this.config = checkpoint.config;
    this.#runner = new MutantRunner(checkpoint, options);
    this.#isLarge = sizeOf(checkpoint.config) > LARGE;
    this.#vocab = checkpoint.config.vocabSize;
  }

  /** The nearest to the truth that there is time for. */
  get exact(): DialectName {
    return this.#isLarge ? "int16" : "f32";
  }

  /** For a look at all mutants. */
  get quick(): DialectName {
    return this.config.headDim % 8 === 0 ? "int16" : this.exact;
  }

  /** Dialects that there is time for. */
  get dialects(): readonly DialectName[] {
    return this.#isLarge ? ["int16", "int8"] : ["f32", "int8", ...BF16];
  }

  /** Logits of a mutant, of a combination of them or, of none, of the correct model. */
  async rows(mutants: readonly Mutant[], dialect: DialectName): Promise<Rows> {
    const key = `${mutants.map(({ name }) => name).join(" + ")} ${dialect}`;
    const known = this.#rows.get(key);
    if (known) return known;
    const run = this.#runner.logits(
      this.ids,
      dialect,
      mutants.map(({ change }) => change),
    );
    const rows = run.then((logits) => rowsOf(logits, this.ids.length, this.#vocab));
    this.#rows.set(key, rows);
    return rows;
  }

  /** Rounding errors of the exact dialect. */
  async truth(): Promise<Rows> {
    return this.rows([], this.#isLarge ? "int16" : "f64");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#runner[Symbol.asyncDispose]();
  }
}

/** Number of weights that are not in the experts, roughly, and in them. */
function sizeOf({ numLayers, numExperts, hiddenSize, intermediateSize, vocabSize }: ModelConfig): number {
  return vocabSize * hiddenSize + numLayers * numExperts * hiddenSize * intermediateSize * 3;
}

/** How far a distance may lie above measured noise: other kernels and orders of sums are as good. */
const SLACK = { exact: 10, rounded: 2.5 };

/** A run as it is nearest to theirs. */
interface Suspect {
  readonly mutants: readonly Mutant[];
  readonly dialect: DialectName;
  readonly rows: Rows;
  /** Of theirs, by token, relative. */
  readonly distances: Float64Array;
}

/**
 * Compares logits with the correct model's and the mutants'.
 *
 * @param logits [T, vocab] of the laboratory's tokens, or of the last ones; log-probabilities serve as well
 * @throws UsageError for logits of another shape
 */
export async function diagnose(
  laboratory: Laboratory,
  logits: HostTensor,
  { mutants = MUTANTS, onProgress = () => {}, dialects }: DiagnoseOptions = {},
): Promise<Diagnosis> {
  const { exact, quick, config, ids } = laboratory;
  const tokens = tokensOf(logits, ids.length, config.vocabSize);
  const first = ids.length - tokens;
  const theirs = rowsOf(logits, tokens, config.vocabSize);
  const visible = mutants.filter(({ from }) => (from?.(config) ?? 0) < ids.length);

  let [done, total] = [0, visible.length + 8];
  const run = async (suspects: readonly Mutant[], dialect: DialectName): Promise<Rows> => {
    onProgress(done++, Math.max(done, total), suspects.map(({ name }) => name).join(" + ") || dialect);
    return lastRows(await laboratory.rows(suspects, dialect), tokens);
  };
  const truth = lastRows(await laboratory.truth(), tokens);
  const norms = rowDistances(truth);
  const relative = (a: Rows, b: Rows): Float64Array => rowDistances(a, b).map((d, t) => d / norms[t]!);

  const correct = await run([], exact);
  const noises = new Map<DialectName, Float64Array>();
  for (const dialect of laboratory.dialects) {
    const other = dialect === exact ? correct : await run([], dialect);
    const noise = relative(other, truth);
    noises.set(dialect, dialect === exact ? noise.map((x) => Math.max(x, 1e-7)) : noise);
  }
  if (exact === "int16")
    noises.set(
      "int16",
      noises.get("int8")!.map((x) => x / 100),
    );
  const rounding = quantile(noises.get(exact)!, 0.5);
  const noise = new Map([...noises].map(([dialect, values]) => [dialect, quantile(values, 0.5)] as const));

  /** The nearest of a run's dialects. */
  const suspect = async (members: readonly Mutant[], among: readonly DialectName[]): Promise<Suspect> => {
    const found: Suspect[] = [];
    for (const dialect of among) {
      const rows = await run(members, dialect);
      found.push({ mutants: members, dialect, rows, distances: relative(theirs, rows) });
    }
    return nearest(found, rounding)[0]!;
  };

  if (theirs.data.some((value) => !Number.isFinite(value))) {
    return notFinite(theirs, relative(theirs, correct), noise, first);
  }

  // 1. all mutants, quickly
  const correctQuickly = await run([], quick);
  const screened: Suspect[] = [];
  for (const mutant of visible) screened.push(await suspect([mutant], [quick]));
  const effects = new Map(screened.map(({ mutants, rows }) => [mutants[0]!, relative(rows, correctQuickly)]));

  // 2. where theirs is nearly exact, the quick look doesn't suffice for the nearest and for the smallest effects
  const ofCorrect = relative(theirs, correct);
  const top = nearest(screened, rounding).slice(0, 3);
  const isExact =
    Math.min(...[ofCorrect, ...top.map((s) => s.distances)].map((d) => quantile(d, 0.5))) < 1e-3;
  const dialect = isExact ? exact : quick;
  const possible = dialects ?? laboratory.dialects;
  const innocent = await suspect([], [dialect]);
  const suspects: Suspect[] = [];
  for (const s of isExact ? screened : top) {
    const isTiny = quantile(effects.get(s.mutants[0]!)!, 0.9) < 1e-3;
    if (dialect === quick) suspects.push(s);
    else if (isTiny || top.includes(s)) suspects.push(await suspect(s.mutants, [dialect]));
  }

  /** The dialect whose noise theirs has beside a run: the finest, or of the correct model's the nearest. */
  const precisionBeside = async ({ mutants, rows }: Suspect): Promise<DialectName | undefined> => {
    const distances = relative(theirs, rows);
    const byNoise = [...noises]
      .filter(([name]) => possible.includes(name))
      .sort(([, a], [, b]) => quantile(a, 0.5) - quantile(b, 0.5));
    const fitting = byNoise.filter(([name, measured]) =>
      looksLike(distances, measured, name === exact ? SLACK.exact : SLACK.rounded),
    );
    if (fitting.length > 0 && (mutants.length > 0 || fitting[0]![0] === exact)) return fitting[0]![0];
    const apart = new Map<DialectName, number>();
    for (const [name] of fitting) apart.set(name, quantile(relative(theirs, await run([], name)), 0.5));
    if (apart.size > 0) return [...apart].sort(([, a], [, b]) => a - b)[0]![0];
    // a mutant may be noisier than the correct model
    for (const [name] of mutants.length > 0 ? byNoise : []) {
      if (name === exact) continue;
      if (looksLike(distances, relative(await run(mutants, name), rows), SLACK.rounded)) return name;
    }
    return undefined;
  };
  const beside = (a: Suspect, b: Suspect): Contrast => contrast(theirs, a.rows, b.rows, 3 * rounding, norms);

  // 3. correct, or one bug
  const ranked = nearest([innocent, ...suspects], rounding);
  const explains = (s: Suspect): boolean => s.mutants.length > 0 && decides(beside(s, innocent));
  let best = ranked.find((s) => s === innocent || explains(s))!;
  let precision = await precisionBeside(best);
  let candidates = ranked;

  // 4. two bugs, where noise doesn't explain the rest or another mutant explains it better
  if (precision === undefined || (best !== innocent && precision !== exact)) {
    const starts = precision === undefined ? nearest(screened, rounding).slice(0, 3) : [best];
    const pair = await bestPair(starts);
    const inItself = pair && (await precisionBeside(pair));
    if (pair && inItself !== undefined) {
      candidates = [pair, ...ranked];
      [best, precision] = [pair, inItself];
    }
  }

  /** Starting from each of these, the other that would mend most if effects simply added up. */
  async function bestPair(starts: readonly Suspect[]): Promise<Suspect | undefined> {
    const found: Suspect[] = [];
    for (const start of starts) {
      const sums = screened
        .filter(({ mutants }) => mutants[0] !== start.mutants[0])
        .map((other) => {
          const rows = sum(start.rows, other.rows, correctQuickly);
          return { ...other, rows, distances: relative(theirs, rows) };
        });
      for (const { mutants } of nearest(sums, rounding).slice(0, 3)) {
        const pair = await suspect([...start.mutants, ...mutants], [dialect]).catch(notTogether);
        if (!pair) continue;
        const contrasted = beside(pair, start);
        if (decides(contrasted) && contrasted.ratio <= 0.5) found.push(pair);
      }
    }
    return nearest(found, rounding)[0];
  }

  const isCorrect = best.mutants.length === 0;
  const verdict = precision === undefined ? "unknown" : isCorrect ? "correct" : "bug";
  const rivals =
    verdict === "bug" && best.mutants.length === 1
      ? [...suspects, ...screened].filter(
          (s) =>
            s.mutants[0] !== best.mutants[0] && !decides(beside(best, s)) && decides(beside(s, innocent)),
        )
      : [];
  const strays = relative(theirs, correct);
  const limit = 5 * quantile(noises.get(precision ?? exact)!, 0.9);
  const firstToken = verdict === "correct" ? -1 : strays.findIndex((d) => d > limit);
  return {
    verdict,
    bugs: verdict === "bug" ? distinct([best, ...rivals].map(({ mutants }) => mutants)) : [],
    precision,
    distance: quantile(innocent.distances, 0.5),
    noise,
    firstToken: firstToken < 0 ? undefined : first + firstToken,
    candidates: candidates.map((s) => ({
      mutants: s.mutants,
      distance: quantile(s.distances, 0.5),
      dialect: s.dialect,
      contrast: s === innocent ? undefined : beside(s, innocent),
    })),
    hidden: hiddenOf(mutants, effects, quantile(best.distances, 0.5), laboratory),
  };
}

/** Mutants of one operation may take each other's ground away; what the user can mend goes on. */
function notTogether(error: unknown): undefined {
  if (error instanceof GptOssError) throw error;
}

/** Nearest to theirs first. */
function nearest(suspects: readonly Suspect[], rounding: number): Suspect[] {
  const medians = suspects.map(({ distances }) => quantile(distances, 0.5));
  const scale = Math.max(rounding, Math.min(...medians));
  const scores = new Map(suspects.map((s) => [s, score(s.distances, scale)]));
  return [...suspects].sort((a, b) => scores.get(a)! - scores.get(b)!);
}

/** a + b − c */
function sum(a: Rows, b: Rows, c: Rows): Rows {
  return { ...a, data: a.data.map((value, i) => value + b.data[i]! - c.data[i]!) };
}

function distinct(all: readonly (readonly Mutant[])[]): (readonly Mutant[])[] {
  return [...new Map(all.map((members) => [members.map(({ name }) => name).join(), members])).values()];
}

function lastRows({ tokens, width, data }: Rows, count: number): Rows {
  return { tokens: count, width, data: data.subarray((tokens - count) * width) };
}

/** Mutants that change nothing at these tokens, or less than the noise around theirs. */
function hiddenOf(
  mutants: readonly Mutant[],
  effects: ReadonlyMap<Mutant, Float64Array>,
  noise: number,
  { ids, config }: Laboratory,
): HiddenMutant[] {
  return mutants.flatMap((mutant): HiddenMutant[] => {
    const from = mutant.from?.(config) ?? 0;
    if (from === Number.POSITIVE_INFINITY) return [{ mutant }];
    if (from >= ids.length) return [{ mutant, needsTokens: from + 1 }];
    const effect = effects.get(mutant)!.subarray(-Math.max(1, ids.length - from));
    return quantile(effect, 0.5) < noise / 2 ? [{ mutant }] : [];
  });
}

/** Number of tokens that logits are of. */
function tokensOf({ shape, data }: HostTensor, T: number, vocab: number): number {
  const [rows, columns] = shape;
  const fits =
    shape.length === 2 && rows! > 0 && rows! <= T && columns! >= vocab && data.length === rows! * columns!;
  if (fits && !(data instanceof Int32Array)) return rows!;
  throw new UsageError("logits of another shape", {
    expected: `[${T}, ${vocab}], or fewer rows for the last tokens`,
    found: `[${shape.join(", ")}]`,
    hint: "A row a token; a batch has to be taken apart, and padding of the vocabulary may stay.",
  });
}

function notFinite(
  theirs: Rows,
  distances: Float64Array,
  noise: Diagnosis["noise"],
  first: number,
): Diagnosis {
  const at = theirs.data.findIndex((value) => !Number.isFinite(value));
  return {
    verdict: "not-finite",
    bugs: [],
    precision: undefined,
    distance: quantile(distances, 0.5),
    noise,
    firstToken: first + Math.floor(at / theirs.width),
    candidates: [],
    hidden: [],
  };
}
