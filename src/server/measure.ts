import type { Slot } from "./admission.ts";
import type { RequestInfo, ServerContext } from "./context.ts";

/**
 * One generation of a request: begins when its slot has come, is counted token by token, and gives the slot back when it
 * ends, whatever the reason.
 */
export async function* measured<T extends { readonly text: string; readonly isPrompt?: boolean }>(
  { metrics }: ServerContext,
  info: RequestInfo,
  slot: Promise<Slot>,
  generate: (signal: AbortSignal) => AsyncIterable<T>,
): AsyncGenerator<T, void, void> {
  const { signal, begin, release } = await slot;
  begin();
  try {
    signal.throwIfAborted();
    let last: number | undefined;
    for await (const token of generate(signal)) {
      if (token.isPrompt) {
        yield token; // of the prompt, which is shown again
        continue;
      }
      const now = performance.now();
      if (last === undefined) metrics.firstToken.observe((now - info.start) / 1000);
      else metrics.tokenLatency.observe((now - last) / 1000);
      last = now;
      metrics.tokens.inc({ kind: "generated" });
      info.tokens.generated++;
      yield token;
    }
  } finally {
    release();
  }
}

/** Counts a prompt. */
export function countPrompt({ metrics }: ServerContext, info: RequestInfo, tokens: number): void {
  info.tokens.prompt += tokens;
  metrics.tokens.inc({ kind: "prompt" }, tokens);
}

/** Counts what of a prompt had been computed before. */
export function countCached({ metrics }: ServerContext, info: RequestInfo, tokens: number): void {
  info.tokens.cached += tokens;
  metrics.tokens.inc({ kind: "cached" }, tokens);
}
