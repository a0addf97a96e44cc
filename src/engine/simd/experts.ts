/**
 * Experts in memory, as far as a budget goes. What a token needs is read from the file when it is missing, and takes the
 * place of the expert that has gone unused for longest. An expert's two matrices come and go together, so that all
 * places have one size.
 */
import { UsageError } from "../../errors.ts";
import type { Piece } from "./arena.ts";
import { loadMatrices, type SimdMatrix } from "./matrix.ts";
import type { Workspace } from "./workspace.ts";

/** The matrices that the experts of one layer have: on the way up, and on the way down. */
interface Unit {
  readonly matrices: readonly SimdMatrix[];
  /** By expert. */
  readonly entries: (Entry | undefined)[];
}

interface Entry {
  readonly unit: Unit;
  readonly expert: number;
  readonly bytes: number;
  readonly pieces: Piece[];
  ready: Promise<void>;
  loaded: boolean;
  /** Of the latest request that wanted it. */
  request: number;
}

export class ExpertCache {
  readonly #ws: Workspace;
  readonly #limit: number;
  readonly #units = new Map<SimdMatrix, Unit>();
  /** Least recently used first. */
  readonly #entries = new Set<Entry>();
  #lastFill: Promise<void> = Promise.resolve();
  /** Bytes promised to experts, and those of them that have been allocated. */
  #used = 0;
  #placed = 0;
  #request = 0;
  /** Bytes of weights that have been read so far. */
  fetchedBytes = 0;

  /** @param limit bytes of all memories, the arenas' other contents included */
  constructor(workspace: Workspace, limit: number) {
    this.#ws = workspace;
    this.#limit = limit;
  }

  #unitOf(matrices: readonly SimdMatrix[]): Unit {
    let unit = this.#units.get(matrices[0]!);
    if (unit === undefined) {
      unit = { matrices, entries: [] };
      for (const matrix of matrices) this.#units.set(matrix, unit);
    }
    return unit;
  }

  /** Begins to read what is missing of these experts, as many as have room. */
  prefetch(matrices: readonly SimdMatrix[], experts: readonly number[]): void {
    const unit = this.#unitOf(matrices);
    this.#request++;
    for (const expert of experts.slice(0, this.#places(unit))) this.#entry(unit, expert);
  }

  /**
   * Hands out these experts' matrix in groups that fit into memory together, each once it is all there.
   *
   * @throws UsageError if not even one fits
   */
  async *inMemory(matrix: SimdMatrix, experts: readonly number[]): AsyncGenerator<readonly number[]> {
    const unit = this.#unitOf([matrix]);
    const places = this.#places(unit);
    if (places < 1) {
      throw new UsageError("the memory budget has no room for a single expert", {
        expected: `${Math.ceil((bytesOf(unit) - this.#room()) / 2 ** 20)} MiB more`,
      });
    }
    for (let first = 0; first < experts.length; first += places) {
      const group = experts.slice(first, first + places);
      this.#request++;
      const entries = group.map((expert) => this.#entry(unit, expert));
      await Promise.all(entries.map((entry) => entry.ready));
      yield group;
    }
  }

  #room(): number {
    return this.#limit - (this.#ws.arenas.allocated - this.#placed);
  }

  /** How many experts fit at a time. */
  #places(unit: Unit): number {
    return Math.floor(this.#room() / bytesOf(unit));
  }

  /** The entry of an expert, which may still be on its way. */
  #entry(unit: Unit, expert: number): Entry {
    const found = unit.entries[expert];
    if (found) {
      found.request = this.#request;
      this.#entries.delete(found);
      this.#entries.add(found);
      return found;
    }
    const bytes = bytesOf(unit);
    for (const old of this.#entries) {
      if (this.#used + bytes <= this.#room()) break;
      // what the current request needs stays, and so does what is just being filled
      if (old.loaded && old.request < this.#request) this.#evict(old);
    }
    this.#used += bytes;
    const entry: Entry = {
      unit,
      expert,
      bytes,
      pieces: [],
      ready: Promise.resolve(),
      loaded: false,
      request: this.#request,
    };
    unit.entries[expert] = entry;
    this.#entries.add(entry);
    // one after the other: each keeps the disk busy, and all threads
    entry.ready = this.#lastFill.then(() => this.#fill(entry));
    this.#lastFill = entry.ready.catch(() => {});
    entry.ready.catch(() => this.#evict(entry)); // whoever waits for it sees the error; the next one tries again
    return entry;
  }

  async #fill(entry: Entry): Promise<void> {
    const { unit, expert, pieces } = entry;
    for (const { layout } of unit.matrices) {
      pieces.push(await this.#ws.arenas.allocate(layout.bytes));
      this.#placed += layout.bytes;
    }
    for (const [i, { source, layout, placed }] of unit.matrices.entries()) {
      const piece = pieces[i]!;
      const place = { ...piece, scales: piece.at + layout.scalesAt };
      await loadMatrices(source, layout, [{ matrix: expert, placed: place }], this.#ws.pool, (bytes) => {
        this.fetchedBytes += bytes;
      });
      placed[expert] = place;
    }
    entry.loaded = true;
  }

  #evict({ unit, expert, bytes, pieces }: Entry): void {
    for (const { placed } of unit.matrices) placed[expert] = undefined;
    for (const { arena, at, bytes: size } of pieces) {
      arena.free(at, size);
      this.#placed -= size;
    }
    this.#entries.delete(unit.entries[expert]!);
    unit.entries[expert] = undefined;
    this.#used -= bytes;
  }
}

function bytesOf({ matrices }: Unit): number {
  return matrices.reduce((sum, { layout }) => sum + layout.bytes, 0);
}
