import { ServerError } from "./client.ts";

/** Careful reading of a server's answers: each accessor fails with the field's path where it has another type. */
export class Answer {
  readonly value: unknown;
  readonly #path: string;

  constructor(value: unknown, path: string) {
    this.value = value;
    this.#path = path;
  }

  get exists(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  at(...keys: (string | number)[]): Answer {
    let answer: Answer = this;
    for (const key of keys) {
      const holder = answer.value;
      const has = typeof holder === "object" && holder !== null && Object.hasOwn(holder, key);
      const value = has ? (holder as Record<string | number, unknown>)[key] : undefined;
      answer = new Answer(value, `${answer.#path}${typeof key === "number" ? `[${key}]` : `.${key}`}`);
    }
    return answer;
  }

  text(): string {
    return typeof this.value === "string" ? this.value : this.fail("a text");
  }

  /** A text, or "" where there is none. */
  textOrNone(): string {
    return this.exists ? this.text() : "";
  }

  integer(below: number): number {
    const { value } = this;
    const good = Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < below;
    return good ? (value as number) : this.fail(`an integer from 0 to ${below - 1}`);
  }

  /** The logarithm of a probability. */
  logprob(): number {
    const { value } = this;
    const good = typeof value === "number" && Number.isFinite(value) && value <= 1e-3;
    return good ? (value as number) : this.fail("a finite logarithm of a probability");
  }

  list(max: number): Answer[] {
    const { value } = this;
    if (!Array.isArray(value) || value.length > max) return this.fail(`a list of at most ${max}`);
    return value.map((item, i) => new Answer(item, `${this.#path}[${i}]`));
  }

  entries(max: number): [string, Answer][] {
    const { value } = this;
    const keys =
      typeof value === "object" && value !== null && !Array.isArray(value) ? Object.keys(value) : undefined;
    if (keys === undefined || keys.length > max) return this.fail(`a record of at most ${max} keys`);
    return keys.map((key) => [key, this.at(key)]);
  }

  fail(expected: string): never {
    const { value } = this;
    const found = value === undefined ? "nothing" : (JSON.stringify(value) ?? String(value)).slice(0, 80);
    throw new ServerError("the server's answer has another shape", { where: this.#path, expected, found });
  }
}
