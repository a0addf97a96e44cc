import { table } from "../../src/cli/terminal.ts";
import type { Measurement, Task } from "./measurement.ts";

/** What the runs of one program gave, one entry a round; undefined where it failed. */
export interface Runs {
  readonly name: string;
  readonly ours: boolean;
  readonly measurements: (Measurement | undefined)[];
  readonly errors: string[];
}

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Summary {
  readonly programs: readonly {
    readonly name: string;
    readonly figures: Record<keyof Measurement, Spread>;
  }[];
  /** Ours over the peer's tokens per second, within each round. */
  readonly ratios: readonly {
    readonly ours: string;
    readonly peer: string;
    readonly prefill: Spread;
    readonly decode: Spread;
  }[];
}

interface Setup extends Task {
  readonly modelBytes: number;
  readonly rounds: number;
  readonly cpu: string;
  /** The most cores that other programs were seen to use ahead of a run. */
  readonly busiest: number;
}

const FIGURES = ["loadSeconds", "prefill", "decode", "peakRssBytes"] as const;

export function summarize(runs: readonly Runs[]): Summary {
  const done = runs.filter(({ measurements }) => measurements.some((found) => found !== undefined));
  const programs = done.map(({ name, measurements }) => {
    const found = measurements.filter((measurement) => measurement !== undefined);
    const figures = FIGURES.map((figure) => [figure, spread(found.map((each) => each[figure]))] as const);
    return { name, figures: Object.fromEntries(figures) as Record<keyof Measurement, Spread> };
  });
  const pairs = done
    .filter(({ ours }) => ours)
    .flatMap((ours) => done.filter((peer) => !peer.ours).map((peer) => ({ ours, peer })));
  const ratios = pairs.flatMap(({ ours, peer }) => {
    const rounds = ours.measurements.flatMap((a, round) => {
      const b = peer.measurements[round];
      return a && b ? [{ prefill: a.prefill / b.prefill, decode: a.decode / b.decode }] : [];
    });
    if (rounds.length === 0) return [];
    const [prefill, decode] = [rounds.map((round) => round.prefill), rounds.map((round) => round.decode)];
    return [{ ours: ours.name, peer: peer.name, prefill: spread(prefill), decode: spread(decode) }];
  });
  return { programs, ratios };
}

export function reportText(setup: Setup, runs: readonly Runs[]): string {
  const { programs, ratios } = summarize(runs);
  const gigabytes = ({ median }: Spread): string => `${(median / 1e9).toFixed(2)} GB`;
  const lines = [
    `${setup.model} (${(setup.modelBytes / 1e9).toFixed(2)} GB), ${setup.threads} threads, prompt ${setup.prompt}, ` +
      `${setup.gen} tokens after it, rounds: ${setup.rounds}, ${setup.cpu}`,
    ...(setup.busiest > 0.3
      ? [`Not to be trusted: other programs used up to ${setup.busiest.toFixed(1)} cores.`]
      : []),
    "",
    table(
      ["program", "#load s", "#prefill tok/s", "#decode tok/s", "#peak RSS"],
      programs.map(({ name, figures }) => [
        name,
        show(figures.loadSeconds),
        show(figures.prefill),
        show(figures.decode),
        gigabytes(figures.peakRssBytes),
      ]),
    ),
  ];
  if (ratios.length > 0) {
    lines.push(
      "",
      table(
        ["ours", "peer", "#prefill ours/peer", "#decode ours/peer"],
        ratios.map(({ ours, peer, prefill, decode }) => [ours, peer, show(prefill), show(decode)]),
      ),
    );
  }
  const errors = runs.flatMap(({ name, errors }) => errors.map((error) => `${name} failed: ${error}`));
  return [...lines, ...errors].join("\n");
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

/** Median (min–max), to three digits. */
function show({ median, min, max }: Spread): string {
  return `${digits(median)} (${digits(min)}–${digits(max)})`;
}

function digits(value: number): string {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}
