/** Arguments that are what they should be, or what to tell the model. */
export type ParsedArguments =
  | { readonly ok: true; readonly value: Readonly<Record<string, unknown>> }
  | { readonly ok: false; readonly problem: string };

/** The JSON object that a call's text should be; no text at all means no arguments. */
export function parseArguments(content: string): ParsedArguments {
  if (!content.trim()) return { ok: true, value: {} };
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    return { ok: false, problem: `The arguments aren't valid JSON: ${messageOf(error)}` };
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return { ok: true, value: value as Readonly<Record<string, unknown>> };
  }
  const found = Array.isArray(value) ? "an array" : value === null ? "null" : `a ${typeof value}`;
  return { ok: false, problem: `The arguments must be a JSON object, not ${found}.` };
}

/** An error's message, on one line and of bounded length. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.length > 2000 ? `${text.slice(0, 2000)}…` : text;
}

/** What `work` gives, or a rejection as soon as the signal is aborted: work may not know of signals. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let abort = (): void => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    abort = () => reject(signal.reason);
  });
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
