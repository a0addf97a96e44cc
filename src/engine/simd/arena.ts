/**
 * An arena is one WebAssembly memory, at most 4 GiB, with a list of its free pieces. A model larger than that lies in several.
 */
import { EngineError } from "../../errors.ts";
import type { ArenaView } from "./jobs.ts";
import type { Pool } from "./pool.ts";

const PAGE = 65536;
const MAX_PAGES = 65536;
/** Memories grow by so much at a time. */
const GROWTH = 16 * 2 ** 20;
const ALIGNMENT = 64;

export class Arena {
  readonly id: number;
  readonly view: ArenaView;
  readonly #threads: number;
  /** Free pieces in order of address, none next to another. The first page is for the kernels' tables. */
  readonly #free: { at: number; size: number }[] = [];
  #end = PAGE;
  #allocated = 0;
  #scratch = { at: 0, size: 0 };

  private constructor(id: number, view: ArenaView, threads: number) {
    this.id = id;
    this.view = view;
    this.#threads = threads;
  }

  static async create(pool: Pool): Promise<Arena> {
    let memory: WebAssembly.Memory;
    try {
      memory = new WebAssembly.Memory({
        initial: GROWTH / PAGE,
        maximum: MAX_PAGES,
        ...(pool.kernels.shared && { shared: true }),
      });
    } catch (cause) {
      throw new EngineError("no room for another WebAssembly memory", {
        found: (cause as Error).message,
        cause,
      });
    }
    const { id, view } = await pool.addArena(memory);
    return new Arena(id, view, pool.threads);
  }

  /** Bytes in use, ever so far. */
  get size(): number {
    return this.#end;
  }

  /** Bytes in use now. */
  get allocated(): number {
    return this.#allocated;
  }

  get buffer(): ArrayBufferLike {
    return this.view.memory.buffer;
  }

  /**
   * Address of a new piece, or undefined if the memory is full. Its bytes may be those of an earlier one.
   *
   * @param reserve bytes at the memory's end that must stay free
   */
  tryAllocate(bytes: number, reserve = 0): number | undefined {
    const size = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    for (const [i, piece] of this.#free.entries()) {
      if (piece.size < size || piece.at + size + reserve > MAX_PAGES * PAGE) continue;
      const at = piece.at;
      piece.at += size;
      piece.size -= size;
      if (piece.size === 0) this.#free.splice(i, 1);
      this.#allocated += size;
      return at;
    }
    const last = this.#free.at(-1);
    const extends_ = last !== undefined && last.at + last.size === this.#end;
    const at = extends_ ? last.at : this.#end;
    if (at + size + reserve > MAX_PAGES * PAGE || !this.#grow(at + size)) return undefined;
    if (extends_) this.#free.pop();
    this.#end = at + size;
    this.#allocated += size;
    return at;
  }

  #grow(end: number): boolean {
    const { memory } = this.view;
    const missing = end - memory.buffer.byteLength;
    if (missing <= 0) return true;
    const wanted = Math.min(Math.max(missing, GROWTH), MAX_PAGES * PAGE - memory.buffer.byteLength);
    try {
      memory.grow(Math.ceil(wanted / PAGE));
      return true;
    } catch {
      return false;
    }
  }

  free(at: number, bytes: number): void {
    const size = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    this.#allocated -= size;
    let i = this.#free.findIndex((piece) => piece.at > at);
    if (i < 0) i = this.#free.length;
    this.#free.splice(i, 0, { at, size });
    const join = (k: number): void => {
      const [a, b] = [this.#free[k], this.#free[k + 1]];
      if (a && b && a.at + a.size === b.at) {
        a.size += b.size;
        this.#free.splice(k + 1, 1);
      }
    };
    join(i);
    if (i > 0) join(i - 1);
  }

  /** Address of a piece of `bytes` for each thread, good until the next call: the threads' areas lie one after the other. */
  scratch(bytes: number): number {
    if (bytes > this.#scratch.size) {
      const size = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
      if (this.#scratch.size > 0) this.free(this.#scratch.at, this.#scratch.size * this.#threads);
      const at = this.tryAllocate(size * this.#threads);
      if (at === undefined) throw new EngineError("no room for the threads' scratch areas", { found: bytes });
      this.#scratch = { at, size };
    }
    return this.#scratch.at;
  }

  get scratchBytes(): number {
    return this.#scratch.size;
  }
}

/** A piece of some arena. */
export interface Piece {
  readonly arena: Arena;
  readonly at: number;
  readonly bytes: number;
}

/** Arenas that are opened as they are needed. The first one is the home of activations, and weights stay out of it. */
export class Arenas {
  readonly #pool: Pool;
  readonly #all: Arena[] = [];

  private constructor(pool: Pool) {
    this.#pool = pool;
  }

  static async create(pool: Pool): Promise<Arenas> {
    const arenas = new Arenas(pool);
    arenas.#all.push(await Arena.create(pool));
    return arenas;
  }

  get home(): Arena {
    const [home] = this.#all;
    if (home === undefined) throw new EngineError("the engine has been closed");
    return home;
  }

  /** Bytes of all memories that have been used. */
  get size(): number {
    return this.#all.reduce((sum, arena) => sum + arena.size, 0);
  }

  /** Bytes of all memories that are in use now. */
  get allocated(): number {
    return this.#all.reduce((sum, arena) => sum + arena.allocated, 0);
  }

  /** Room for something that lives outside of home. */
  async allocate(bytes: number): Promise<Piece> {
    // what stays free is for scratch areas, and for weights on their way
    const reserve = (64 + 4 * this.#pool.threads) * 2 ** 20;
    for (const arena of this.#all.slice(1)) {
      const at = arena.tryAllocate(bytes, reserve);
      if (at !== undefined) return { arena, at, bytes };
    }
    const arena = await Arena.create(this.#pool);
    this.#all.push(arena);
    const at = arena.tryAllocate(bytes);
    if (at === undefined) {
      throw new EngineError("out of memory", { expected: `${bytes} more bytes of WebAssembly memory` });
    }
    return { arena, at, bytes };
  }

  /** Room in home. */
  allocateAtHome(bytes: number): number {
    const at = this.home.tryAllocate(bytes);
    if (at === undefined) {
      throw new EngineError("no room for activations", {
        expected: `${bytes} more bytes`,
        hint: "Use a smaller chunk size.",
      });
    }
    return at;
  }

  async close(): Promise<void> {
    for (const arena of this.#all) await this.#pool.removeArena(arena.id);
    this.#all.length = 0;
  }
}
