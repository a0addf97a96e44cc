import { CheckpointError } from "../errors.ts";

/** Bytes that can be read by range: a file on disk, a browser's File, or a piece of memory. */
export interface RandomAccessFile {
  /** Name without folders: it tells the format, and the place among shards. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** Reads bytes [offset, offset + length); fails if the file ends before. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** The same into memory of the caller's, which may be shared with threads, where the file can do that without a copy. */
  readInto?(offset: number, target: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** A Blob, such as a File that the user of a web page picked. */
export class BlobFile implements RandomAccessFile {
  readonly name: string;
  readonly size: number;
  readonly #blob: Blob;

  constructor(blob: Blob, name: string) {
    this.#blob = blob;
    this.name = name;
    this.size = blob.size;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this, offset, length);
    const bytes = new Uint8Array(await this.#blob.slice(offset, offset + length).arrayBuffer());
    return bytes.length === length ? bytes : endsEarly(this, offset + bytes.length);
  }

  async close(): Promise<void> {}
}

/** A file that lies in memory. */
export class MemoryFile implements RandomAccessFile {
  readonly name: string;
  readonly size: number;
  readonly #bytes: Uint8Array;

  constructor(name: string, bytes: Uint8Array) {
    this.name = name;
    this.size = bytes.length;
    this.#bytes = bytes;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this, offset, length);
    return this.#bytes.slice(offset, offset + length);
  }

  async close(): Promise<void> {}
}

/** Fills `target` with a file's bytes from `offset` on. */
export async function readInto(file: RandomAccessFile, offset: number, target: Uint8Array): Promise<void> {
  if (file.readInto) await file.readInto(offset, target);
  else target.set(await file.read(offset, target.length));
}

/** Throws unless [offset, offset + length) lies within the file, so that no length read from a file is believed. */
export function checkRange(file: RandomAccessFile, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0) {
    throw new RangeError(`impossible range: ${length} bytes at ${offset} of ${file.name}`);
  }
  if (offset + length > file.size) endsEarly(file, file.size, offset + length);
}

/** The error for a file that has become shorter, or was never as long as its header says. */
export function endsEarly(file: RandomAccessFile, found: number, expected: number = file.size): never {
  throw new CheckpointError("the file ends too early", {
    where: file.name,
    expected: `at least ${expected} bytes`,
    found,
    hint: "The download may be incomplete.",
  });
}
