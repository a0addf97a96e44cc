import type { Database as WasmDatabase } from "node-sqlite3-wasm";

export type SqlValue = string | number | null;
export type Row = Readonly<Record<string, SqlValue>>;

/** The little of SQLite that the store needs. Statements are synchronous everywhere. */
export interface Database {
  /** Several statements, without values. */
  exec(sql: string): void;
  /** One statement; returns how many rows it changed. */
  run(sql: string, ...values: SqlValue[]): number;
  all(sql: string, ...values: SqlValue[]): Row[];
  close(): void;
}

/**
 * Opens a database file, or one in memory as `:memory:`, with the SQLite that the runtime brings: node:sqlite (Node 22.13 and
 * later, Deno), bun:sqlite, or else node-sqlite3-wasm. No two processes may have the file open: see `lockFile`.
 *
 * Each commit is in the file before it returns. The journal is a WAL, because node-sqlite3-wasm takes its own lock for another
 * process's, and so never rolls back a journal that a crash has left; a WAL it reads. In exclusive mode a WAL needs no shared
 * memory, which WebAssembly has none of.
 */
export async function openDatabase(file: string): Promise<Database> {
  const database = await open(file);
  try {
    database.all("PRAGMA locking_mode = EXCLUSIVE");
    database.all("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

async function open(file: string): Promise<Database> {
  if (globalThis.process?.versions?.["bun"] !== undefined) return openBun(file);
  return (await openNode(file)) ?? openWasm(file);
}

interface Statement {
  run(...values: SqlValue[]): { readonly changes: number | bigint };
  all(...values: SqlValue[]): unknown[];
}

interface NodeDatabase {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  close(): void;
}

/** Undefined where this Node has no SQLite, or only behind a flag. */
async function openNode(file: string): Promise<Database | undefined> {
  const name = "node:sqlite";
  const sqlite = (await import(/* @vite-ignore */ name).catch(() => undefined)) as
    | { readonly DatabaseSync: new (file: string) => NodeDatabase }
    | undefined;
  if (!sqlite) return undefined;
  const database = new sqlite.DatabaseSync(file);
  return {
    exec: (sql) => database.exec(sql),
    run: (sql, ...values) => Number(database.prepare(sql).run(...values).changes),
    all: (sql, ...values) => database.prepare(sql).all(...values) as Row[],
    close: () => database.close(),
  };
}

interface BunDatabase {
  exec(sql: string): void;
  query(sql: string): Statement;
  close(): void;
}

async function openBun(file: string): Promise<Database> {
  const name = "bun:sqlite";
  const { Database } = (await import(/* @vite-ignore */ name)) as {
    readonly Database: new (file: string) => BunDatabase;
  };
  const database = new Database(file);
  return {
    exec: (sql) => database.exec(sql),
    run: (sql, ...values) => Number(database.query(sql).run(...values).changes),
    all: (sql, ...values) => database.query(sql).all(...values) as Row[],
    close: () => database.close(),
  };
}

async function openWasm(file: string): Promise<Database> {
  const { default: sqlite } = (await import("node-sqlite3-wasm")) as unknown as {
    readonly default: { readonly Database: typeof WasmDatabase };
  };
  if (file !== ":memory:") await removeStaleLock(file);
  const database = new sqlite.Database(file);
  return {
    exec: (sql) => database.exec(sql),
    run: (sql, ...values) => database.run(sql, values).changes,
    all: (sql, ...values) => database.all(sql, values) as Row[],
    close: () => database.close(),
  };
}

/** Its lock is a folder beside the file, which a process that was killed leaves behind. */
async function removeStaleLock(file: string): Promise<void> {
  const { rmdirSync } = await import("node:fs");
  try {
    rmdirSync(`${file}.lock`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
