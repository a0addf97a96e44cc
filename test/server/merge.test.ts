import { expect, test } from "vitest";
import { merge } from "../../src/server/merge.ts";

test("a listener that leaves in the midst of a step leaves no rejection behind", async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on("unhandledRejection", note);
  try {
    const stop = new AbortController();
    async function* source() {
      yield 1;
      await new Promise((_, reject) =>
        stop.signal.addEventListener("abort", () => reject(stop.signal.reason)),
      );
    }
    const merged = merge([source()], stop);
    expect(await merged.next()).toEqual({ done: false, value: 1 });
    await merged.return();
    await new Promise((resolve) => setTimeout(resolve));
    expect(stop.signal.aborted).toBe(true);
    expect(unhandled).toEqual([]);
  } finally {
    process.off("unhandledRejection", note);
  }
});
