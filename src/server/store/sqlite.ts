import { existsSync, renameSync, rmSync } from "node:fs";
import { GptOssError, UsageError } from "../../errors.ts";
import type { Message } from "../../harmony/index.ts";
import { type Database, openDatabase, type Row } from "./database.ts";
import { lockFile } from "./lock-file.ts";
import type { ItemKind, ResponseStore, StoredItem, StoredResponse } from "./store.ts";

export interface StoreOptions {
  /** SQLite database, made if it doesn't exist; without it, responses are kept in memory. */
  readonly file?: string;
  /** How long a response is kept, 30 days by default. One that others go on from stays, unseen, as long as they do. */
  readonly days?: number;
  /** Size of all responses, in bytes of UTF-16 text; the oldest go first. 1 GiB by default, in memory 64 MiB. */
  readonly maxBytes?: number;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Says in the file's header whose file it is: "gptS". */
const APPLICATION = 0x67707453;
const VERSION = 2;
const SCHEMA = `
  CREATE TABLE responses (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    previous_id TEXT,
    created_at INTEGER NOT NULL,
    is_running INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    response TEXT NOT NULL
  ) STRICT;
  CREATE INDEX responses_by_age ON responses (created_at);
  CREATE INDEX responses_running ON responses (is_running) WHERE is_running;
  CREATE TABLE items (
    response_id TEXT NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    item TEXT NOT NULL,
    messages TEXT NOT NULL,
    PRIMARY KEY (response_id, kind, position)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX items_by_id ON items (id);
  PRAGMA application_id = ${APPLICATION};
  PRAGMA user_version = ${VERSION};`;

const DAY = 86_400;
/** Seconds between two searches for what has expired. */
const SWEEP = 3600;
/** Responses that one may go back through. */
const LONGEST_CHAIN = 10_000;

/**
 * Opens a store of responses. Those that were running when the last process ended have failed.
 *
 * @throws UsageError if the file is in use, isn't such a store, or was written by a later version
 */
export async function openStore(options: StoreOptions = {}): Promise<ResponseStore> {
  const { file } = options;
  if (file === undefined) {
    const database = await openDatabase(":memory:");
    database.exec(SCHEMA);
    return new SqliteStore(database, options, () => {});
  }
  const unlock = lockFile(file);
  try {
    if (!existsSync(file)) await create(file);
    const database = await openDatabase(file);
    try {
      check(database);
      return new SqliteStore(database, options, unlock);
    } catch (error) {
      database.close();
      throw error;
    }
  } catch (cause) {
    unlock();
    if (cause instanceof GptOssError) throw cause;
    throw new UsageError("the store can't be opened", {
      where: file,
      found: (cause as Error).message,
      cause,
    });
  }
}

/** Makes an empty store; it appears by rename, so that no half of one is ever there. */
async function create(file: string): Promise<void> {
  const temporary = `${file}.new`;
  rmSync(temporary, { force: true });
  const database = await openDatabase(temporary);
  try {
    database.exec(`BEGIN; ${SCHEMA}; COMMIT`);
  } finally {
    database.close();
  }
  renameSync(temporary, file);
}

function check(database: Database): void {
  if (database.all("PRAGMA application_id")[0]!["application_id"] !== APPLICATION)
    throw new UsageError("the database isn't a store of responses", { hint: "Name another file." });
  const found = database.all("PRAGMA user_version")[0]!["user_version"] as number;
  if (found !== VERSION)
    throw new UsageError("the store has another version", {
      expected: VERSION,
      found,
      hint: "Use the version of this program that wrote it, or name another file.",
    });
}

class SqliteStore implements ResponseStore {
  readonly #database: Database;
  readonly #unlock: () => void;
  readonly #days: number;
  readonly #maxBytes: number;
  readonly #now: () => number;
  #bytes: number;
  #nextSweep = 0;
  #isClosed = false;

  constructor(database: Database, options: StoreOptions, unlock: () => void) {
    this.#database = database;
    this.#unlock = unlock;
    this.#days = options.days ?? 30;
    this.#maxBytes = options.maxBytes ?? (options.file === undefined ? 64 * 2 ** 20 : 2 ** 30);
    this.#now = options.now ?? Date.now;
    this.#bytes = database.all("SELECT total(bytes) AS bytes FROM responses")[0]!["bytes"] as number;
    this.#transaction(() => this.#failRunning());
  }

  async begin(response: StoredResponse, input: readonly StoredItem[], owner = ""): Promise<void> {
    const text = JSON.stringify(response);
    this.#transaction(() => {
      this.#sweep();
      this.#database.run(
        "INSERT INTO responses (id, owner, previous_id, created_at, is_running, bytes, response) VALUES (?, ?, ?, ?, 1, 0, ?)",
        response.id,
        owner,
        response.previous_response_id,
        response.created_at,
        text,
      );
      this.#addBytes(response.id, 2 * text.length + this.#insert(response.id, "input", input));
    });
  }

  async update(response: StoredResponse, output: readonly StoredItem[]): Promise<void> {
    const { id } = response;
    const isRunning = response.status === "queued" || response.status === "in_progress";
    this.#transaction(() => {
      const changed = this.#database.run(
        "UPDATE responses SET is_running = ?, response = ? WHERE id = ?",
        isRunning ? 1 : 0,
        JSON.stringify(response),
        id,
      );
      if (changed === 0) return;
      this.#database.run("DELETE FROM items WHERE response_id = ? AND kind = 'output'", id);
      this.#addBytes(id, this.#insert(id, "output", output));
    });
  }

  async get(id: string, owner = ""): Promise<StoredResponse | undefined> {
    const row = this.#database.all(
      "SELECT response FROM responses WHERE id = ? AND owner = ? AND created_at >= ?",
      id,
      owner,
      this.#oldest(),
    )[0];
    return row && (JSON.parse(row["response"] as string) as StoredResponse);
  }

  async items(responseId: string, kind: ItemKind): Promise<readonly StoredItem[]> {
    const sql = "SELECT item, messages FROM items WHERE response_id = ? AND kind = ? ORDER BY position";
    return this.#database.all(sql, responseId, kind).map(readItem);
  }

  async item(id: string, owner = ""): Promise<StoredItem | undefined> {
    const sql = `SELECT item, messages FROM items JOIN responses ON responses.id = response_id
      WHERE items.id = ? AND owner = ? AND created_at >= ? ORDER BY kind DESC LIMIT 1`;
    return this.#database.all(sql, id, owner, this.#oldest()).map(readItem)[0];
  }

  async conversation(id: string, owner = ""): Promise<readonly StoredItem[] | undefined> {
    if ((await this.get(id, owner)) === undefined) return undefined;
    const chain: string[] = [];
    for (let next: string | null = id; next !== null; ) {
      const row: Row | undefined = this.#database.all(
        "SELECT previous_id FROM responses WHERE id = ?",
        next,
      )[0];
      if (!row || chain.length >= LONGEST_CHAIN) return undefined;
      chain.push(next);
      next = row["previous_id"] as string | null;
    }
    // kinds sort as they follow each other: input, output
    const sql = "SELECT item, messages FROM items WHERE response_id = ? ORDER BY kind, position";
    return chain.reverse().flatMap((link) => this.#database.all(sql, link).map(readItem));
  }

  async delete(id: string, owner = ""): Promise<boolean> {
    if ((await this.get(id, owner)) === undefined) return false;
    this.#transaction(() => this.#remove("id = ?", id));
    return true;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#database.close();
    this.#unlock();
  }

  /** Returns the size of what was inserted. */
  #insert(responseId: string, kind: ItemKind, items: readonly StoredItem[]): number {
    let bytes = 0;
    for (const [position, { item, messages }] of items.entries()) {
      const texts = [JSON.stringify(item), JSON.stringify(messages)] as const;
      bytes += 2 * (texts[0].length + texts[1].length);
      this.#database.run(
        "INSERT INTO items (response_id, kind, position, id, item, messages) VALUES (?, ?, ?, ?, ?, ?)",
        responseId,
        kind,
        position,
        item.id,
        ...texts,
      );
    }
    return bytes;
  }

  #addBytes(id: string, bytes: number): void {
    this.#database.run("UPDATE responses SET bytes = bytes + ? WHERE id = ?", bytes, id);
    this.#bytes += bytes;
    while (this.#bytes > this.#maxBytes) {
      const sql =
        "SELECT id FROM responses WHERE NOT is_running AND id <> ? ORDER BY created_at, rowid LIMIT 1";
      const oldest = this.#database.all(sql, id)[0];
      if (!oldest) return;
      this.#remove("id = ?", oldest["id"] as string);
    }
  }

  #remove(where: string, ...values: (string | number)[]): void {
    for (const row of this.#database.all(`DELETE FROM responses WHERE ${where} RETURNING bytes`, ...values))
      this.#bytes -= row["bytes"] as number;
  }

  /** Seconds since 1970 of the oldest response that is still shown. */
  #oldest(): number {
    return Math.floor(this.#now() / 1000) - this.#days * DAY;
  }

  #sweep(): void {
    const now = this.#now() / 1000;
    if (now < this.#nextSweep) return;
    this.#nextSweep = now + SWEEP;
    this.#remove(
      `created_at < ?1 AND NOT is_running AND id NOT IN (
        WITH RECURSIVE needed (id) AS (
          SELECT previous_id FROM responses WHERE created_at >= ?1
          UNION SELECT previous_id FROM responses JOIN needed ON responses.id = needed.id
        ) SELECT id FROM needed WHERE id IS NOT NULL)`,
      this.#oldest(),
    );
  }

  #failRunning(): void {
    for (const row of this.#database.all("SELECT response FROM responses WHERE is_running")) {
      const response = JSON.parse(row["response"] as string) as StoredResponse;
      const error = { code: "server_error", message: "The server ended before the response was finished." };
      this.#database.run(
        "UPDATE responses SET is_running = 0, response = ? WHERE id = ?",
        JSON.stringify({ ...response, status: "failed", error }),
        response.id,
      );
    }
  }

  #transaction(work: () => void): void {
    const bytes = this.#bytes;
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#database.exec("COMMIT");
    } catch (error) {
      this.#bytes = bytes;
      try {
        this.#database.exec("ROLLBACK");
      } catch {
        // some errors, such as a full disk, have rolled back already
      }
      throw error;
    }
  }
}

function readItem(row: Row): StoredItem {
  return {
    item: JSON.parse(row["item"] as string) as StoredItem["item"],
    messages: JSON.parse(row["messages"] as string) as Message[],
  };
}
