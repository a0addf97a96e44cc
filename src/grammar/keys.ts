/** Keys of an object, the newest first. */
interface Keys {
  readonly key: string;
  readonly before: Keys | null;
}

interface Level {
  readonly isObject: boolean;
  readonly keys: Keys | null;
  readonly outer: Level | null;
}

const STRUCTURE = 0;
const STRING = 1;
const ESCAPE = 2;

/**
 * Follows JSON text byte by byte, as far as it takes to know the keys of each open object. It trusts the text to be JSON
 * that writes equal keys in the same way.
 */
export class KeyTracker {
  readonly #mode: number;
  readonly #level: Level | null;
  /** Whether the next string is a key. */
  readonly #awaitsKey: boolean;
  /** Of a key that is being written: its bytes so far. */
  readonly #key: string | undefined;

  constructor(mode: number = STRUCTURE, level: Level | null = null, awaitsKey = false, key?: string) {
    this.#mode = mode;
    this.#level = level;
    this.#awaitsKey = awaitsKey;
    this.#key = key;
  }

  /** Takes a byte; undefined if it completes a key that the object has already. */
  step(byte: number): KeyTracker | undefined {
    if (this.#mode !== STRUCTURE) return this.#inString(byte);
    const level = this.#level;
    switch (byte) {
      case 0x22: // "
        return new KeyTracker(STRING, level, false, this.#awaitsKey ? "" : undefined);
      case 0x7b: // {
        return new KeyTracker(STRUCTURE, { isObject: true, keys: null, outer: level }, true, undefined);
      case 0x5b: // [
        return new KeyTracker(STRUCTURE, { isObject: false, keys: null, outer: level }, false, undefined);
      case 0x7d: // }
      case 0x5d: // ]
        return new KeyTracker(STRUCTURE, level?.outer ?? null, false, undefined);
      case 0x2c: // ,
        return new KeyTracker(STRUCTURE, level, level?.isObject ?? false, undefined);
      default:
        return this;
    }
  }

  #inString(byte: number): KeyTracker | undefined {
    const key = this.#key;
    const level = this.#level;
    if (this.#mode === STRING && byte === 0x22) {
      if (key === undefined || !level) return new KeyTracker(STRUCTURE, level, false, undefined);
      for (let used = level.keys; used; used = used.before) if (used.key === key) return undefined;
      return new KeyTracker(STRUCTURE, { ...level, keys: { key, before: level.keys } }, false, undefined);
    }
    const mode = this.#mode === STRING && byte === 0x5c ? ESCAPE : STRING;
    if (key === undefined && mode === this.#mode) return this;
    return new KeyTracker(
      mode,
      level,
      false,
      key === undefined ? undefined : key + String.fromCharCode(byte),
    );
  }
}
