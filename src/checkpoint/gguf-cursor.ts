import { CheckpointError } from "../errors.ts";
import type { RandomAccessFile } from "./file.ts";

/** Bytes read at a time. */
const WINDOW = 1 << 20;

/**
 * Reads a header of unknown length from front to back. Whoever wants bytes calls {@link need} first, which fails when
 * the file doesn't have them; so no length from the file is believed before it is held against what is left.
 */
export class GgufCursor {
  readonly file: RandomAccessFile;
  #window: Uint8Array = new Uint8Array(0);
  #view: DataView = new DataView(this.#window.buffer);
  /** Position in the file of the window's first byte, and of the next byte within the window. */
  #start = 0;
  #at = 0;

  constructor(file: RandomAccessFile) {
    this.file = file;
  }

  get position(): number {
    return this.#start + this.#at;
  }

  /** Bytes from here that can be read without another {@link need}. */
  get available(): number {
    return this.#window.length - this.#at;
  }

  /** Makes sure that `bytes` can be read from here on. */
  async need(bytes: number, what: string): Promise<void> {
    if (bytes <= this.available) return;
    const left = this.file.size - this.position;
    if (bytes > left) this.fail(`${what} reaches beyond the end of the file`, `at most ${left} bytes`, bytes);
    const length = Math.min(Math.max(bytes, WINDOW), left);
    const window = await this.file.read(this.position, length);
    this.#start = this.position;
    this.#at = 0;
    this.#window = window;
    this.#view = new DataView(window.buffer, window.byteOffset, window.byteLength);
  }

  /** Moves on without reading. */
  skip(bytes: number, what: string): void {
    const left = this.file.size - this.position;
    if (bytes > left) this.fail(`${what} reaches beyond the end of the file`, `at most ${left} bytes`, bytes);
    if (bytes <= this.available) this.#at += bytes;
    else {
      this.#start = this.position + bytes;
      this.#at = 0;
      this.#window = new Uint8Array(0);
      this.#view = new DataView(this.#window.buffer);
    }
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }
  i8(): number {
    return this.#view.getInt8(this.#take(1));
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }
  i16(): number {
    return this.#view.getInt16(this.#take(2), true);
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }
  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }
  f32(): number {
    return this.#view.getFloat32(this.#take(4), true);
  }
  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }
  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }
  bytes(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#window.subarray(at, at + length);
  }

  /** A u64 that must be at most `max`, as a number. */
  size(max: number, what: string): number {
    const low = this.u32();
    const high = this.u32();
    const value = high * 2 ** 32 + low; // inexact only when far too large
    if (value > max) this.fail(`${what} is too large`, `at most ${max}`, value);
    return value;
  }

  fail(what: string, expected?: string | number, found?: string | number): never {
    throw new CheckpointError(what, {
      where: `${this.file.name}, byte ${this.position}`,
      ...(expected === undefined ? {} : { expected }),
      ...(found === undefined ? {} : { found }),
    });
  }

  #take(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    return at; // beyond the window, DataView throws: a missing need() is a bug
  }
}
