import { type CheckResult, relativeRms } from "../checks.ts";
import { checkedRows, joined, rowsOf } from "./logits.ts";
import { type LogitRows, NotOffered, type RuntimeSession } from "./runtime.ts";
import { check, type LevelOutcome, logitTolerance, type Suite } from "./suite.ts";

const HINTS: Readonly<Record<string, string>> = {
  repeated:
    "The same prompt gives other logits the second time: something is left over from the pass before, in a cache or a scratch buffer.",
  chunks:
    "Chunks give other logits than one pass: positions that start over with each chunk, a mask that is made for a chunk alone, or a ring of cached keys that is written before it is read. A sliding layer needs the 127 keys ahead of the chunk.",
  interleaved: "Sessions see each other's tokens: the cache is shared.",
  truncated:
    "After cutting back, logits differ: a ring of cached keys that has wrapped can't be cut back without the keys that it wrote over; refuse, or compute them again.",
  batch: "Prompts of a batch see each other or their padding: positions and masks are each prompt's own.",
};

/** A session that can't be closed spoils no check. */
async function closed(session: RuntimeSession): Promise<void> {
  try {
    await session.close?.();
  } catch {}
}

/** Level 5: however the tokens come, their logits are those of one pass over the prompt. */
export async function checkSessions(suite: Suite): Promise<LevelOutcome> {
  const { runtime, goldens } = suite;
  const ids = await goldens.ids();
  let truth = rowsOf(await goldens.truth());
  const vocab = truth[0]!.length;
  const checks: LevelOutcome["checks"] = [];
  const failed: string[] = [];
  const run = async (kind: string, name: string, test: () => Promise<CheckResult>): Promise<void> => {
    await check(suite, checks, name, test);
    if (checks.at(-1)?.name === name && !checks.at(-1)!.passed) failed.push(kind);
  };
  /** Rows [from, to) by the position of their token, as far as the runtime gave them. */
  const compareRows = (rows: ReadonlyMap<number, Float64Array>): CheckResult => {
    const at = [...rows.keys()];
    const error = relativeRms(joined([...rows.values()]), joined(at.map((t) => truth[t]!)));
    const wrong = at.find((t) => !(relativeRms(rows.get(t)!, truth[t]!) <= logitTolerance(suite, 1)));
    const detail =
      error === 0 ? "the same bits" : wrong === undefined ? undefined : `first at token ${wrong}`;
    return {
      error,
      tolerance: logitTolerance(suite, rows.size),
      unit: "relative rms",
      ...(detail && { detail }),
    };
  };
  const place = (rows: LogitRows, from: number, to: number, into: Map<number, Float64Array>): void => {
    const checked = checkedRows(rows, to - from, vocab);
    for (const [i, row] of checked.entries()) into.set(to - checked.length + i, row);
  };
  const feed = async (
    session: RuntimeSession,
    from: number,
    to: number,
    size: number,
    into: Map<number, Float64Array>,
  ): Promise<void> => {
    for (let start = from; start < to; start += size) {
      const end = Math.min(start + size, to);
      place(await session.feed(ids.slice(start, end)), start, end, into);
    }
  };

  if (runtime.logits) {
    // what the runtime itself computes in one pass is the measure here, right or wrong: level 1 is about that
    const onePass = async (): Promise<Float64Array[]> =>
      checkedRows(await runtime.logits!(ids), ids.length, vocab);
    const whole = await onePass().catch(() => []);
    if (whole.length === ids.length) truth = whole;
    await run("repeated", "the same prompt again, after another", async () => {
      await runtime.logits!(ids.slice(3, 40));
      const rows = new Map<number, Float64Array>();
      place(await runtime.logits!(ids), 0, ids.length, rows);
      return compareRows(rows);
    });
  }
  if (runtime.open) {
    const open = runtime.open.bind(runtime);
    const using = async (
      count: number,
      use: (sessions: RuntimeSession[], rows: Map<number, Float64Array>[]) => Promise<void>,
    ): Promise<CheckResult[]> => {
      const sessions: RuntimeSession[] = [];
      try {
        for (let i = 0; i < count; i++) sessions.push(await open());
        const rows = sessions.map(() => new Map<number, Float64Array>());
        await use(sessions, rows);
        return rows.map(compareRows);
      } finally {
        for (const session of sessions) await closed(session);
      }
    };
    for (const size of [1, 7, 64, 129])
      await run("chunks", `chunks of ${size}`, async () => {
        return (await using(1, ([session], [rows]) => feed(session!, 0, ids.length, size, rows!)))[0]!;
      });
    await run("interleaved", "two sessions in turns", async () => {
      const [a, b] = await using(2, async ([first, second], [rowsA, rowsB]) => {
        for (let at = 0; at < 150; at += 10) {
          await feed(first!, 2 * at, 2 * at + 20, 20, rowsA!);
          await feed(second!, at, at + 10, 5, rowsB!);
        }
      });
      return a!.error >= b!.error ? a! : b!;
    });
    await run("truncated", "cut back to 100 tokens, and on", async () => {
      const [result] = await using(1, async ([session], [rows]) => {
        if (!session!.truncate) throw new NotOffered();
        await feed(session!, 0, ids.length, 64, rows!);
        await session!.truncate(100);
        rows!.clear();
        await feed(session!, 100, ids.length, 50, rows!);
      });
      return result!;
    });
  }
  if (runtime.batch) {
    const lengths = [300, 1, 129, 64];
    await run("batch", `a batch of prompts of ${lengths.join(", ")} tokens`, async () => {
      const prompts = await runtime.batch!(lengths.map((length) => ids.slice(0, length)));
      if (prompts.length !== lengths.length)
        throw new Error(`${prompts.length} results for ${lengths.length} prompts`);
      const results = prompts.map((rows, i) => {
        const placed = new Map<number, Float64Array>();
        place(rows, 0, lengths[i]!, placed);
        return compareRows(placed);
      });
      return results.reduce((a, b) => (b.error / b.tolerance > a.error / a.tolerance ? b : a));
    });
  }
  return failed.length === 0 ? { checks } : { checks, hint: HINTS[failed[0]!] };
}
