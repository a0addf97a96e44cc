import { nextTask } from "../model/pass-queue.ts";
import type { Steps } from "../tokenizer/steps.ts";
import { ApiError } from "./errors.ts";

/** Characters that are encoded at once, which takes some ten milliseconds. */
const SHORT = 32 * 1024;
/** Milliseconds that long work has between two turns of the event loop. */
const SLICE = 5;

/**
 * Long work a little at a time, so that streams of others go on. Short work is done at once; of what is long, one after the
 * other, since each of them holds some 20 bytes a character.
 */
export class TimeShare {
  readonly #most: number;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param most works that may wait */
  constructor(most: number) {
    this.#most = most;
  }

  /** @throws ApiError 429 if too many wait, and the signal's reason once it is aborted */
  async run<T>(steps: Steps<T>, signal: AbortSignal): Promise<T> {
    for (let characters = 0; characters <= SHORT; ) {
      const { done, value } = steps.next();
      if (done) return value;
      characters += value;
    }
    if (this.#waiting >= this.#most)
      throw new ApiError(429, "The server is busy with other long prompts. Try again in 10 s.", {
        type: "rate_limit_exceeded",
        code: "rate_limit_exceeded",
        headers: { "retry-after": "10" },
      });
    this.#waiting++;
    const work = this.#last.then(() => inSlices(steps, signal)).finally(() => this.#waiting--);
    this.#last = work.catch(() => {});
    return work;
  }
}

async function inSlices<T>(steps: Steps<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    signal.throwIfAborted();
    const until = performance.now() + SLICE;
    while (performance.now() < until) {
      const { done, value } = steps.next();
      if (done) return value;
    }
    await nextTask();
  }
}
