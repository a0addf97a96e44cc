/**
 * Watches streamed text for stop strings. Text that may turn out to be the start of one is held back until it is known.
 */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";
  /** Whether a stop string has been met; the text after it, and the string itself, is dropped. */
  found = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** Takes the next piece of text; returns what can be shown for certain. */
  push(piece: string): string {
    if (this.found) return "";
    const text = this.#held + piece;
    const at = Math.min(...this.#stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0));
    if (Number.isFinite(at)) {
      this.found = true;
      this.#held = "";
      return text.slice(0, at);
    }
    const keep = Math.max(0, ...this.#stops.map((stop) => overlap(text, stop)));
    this.#held = text.slice(text.length - keep);
    return text.slice(0, text.length - keep);
  }

  /** What was held back, once no more text comes. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }
}

/** Length of the longest end of `text` that begins `stop`. */
function overlap(text: string, stop: string): number {
  for (let n = Math.min(text.length, stop.length - 1); n > 0; n--) {
    if (text.endsWith(stop.slice(0, n))) return n;
  }
  return 0;
}
