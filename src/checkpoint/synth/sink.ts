/** Where a synthetic checkpoint goes: a folder on disk, or memory. */
export interface Sink {
  create(name: string): Promise<SinkFile>;
}

/** A file that is written from front to back. */
export interface SinkFile {
  /** Resolves when the bytes are written, and the buffer may be used again. */
  write(bytes: Uint8Array): Promise<void>;
  /** Leaves so many zeros. */
  skip(bytes: number): Promise<void>;
  close(): Promise<void>;
}

/** Files in memory, by name. */
export class MemorySink implements Sink {
  readonly files: Map<string, Uint8Array> = new Map();

  async create(name: string): Promise<SinkFile> {
    const pieces: Uint8Array[] = [];
    return {
      write: async (bytes) => {
        pieces.push(bytes.slice());
      },
      skip: async (bytes) => {
        pieces.push(new Uint8Array(bytes));
      },
      close: async () => {
        const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
        let at = 0;
        for (const piece of pieces) {
          whole.set(piece, at);
          at += piece.length;
        }
        this.files.set(name, whole);
      },
    };
  }
}
