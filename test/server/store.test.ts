import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openDatabase } from "../../src/server/store/database.ts";
import { openStore, type StoredItem, type StoredResponse } from "../../src/server/store/index.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "store-"));
  file = join(folder, "responses.db");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const DAY = 86_400;

function response(id: string, fields: Partial<StoredResponse> = {}): StoredResponse {
  return { id, created_at: 1000, status: "in_progress", previous_response_id: null, ...fields };
}

function said(id: string, text: string, type = "message"): StoredItem {
  return { item: { id, type, text }, messages: [{ role: "user", content: text }] };
}

const done = (of: StoredResponse): StoredResponse => ({ ...of, status: "completed" });

describe.each(["memory", "file"])("a store in %s", (kind) => {
  const open = (options = {}) =>
    openStore({ now: () => 1_000_000, ...(kind === "file" && { file }), ...options });

  it("gives back what it was given, in order", async () => {
    const store = await open();
    const first = response("r1", { instructions: "naïve \u{1f600} \0 text" });
    await store.begin(first, [said("a", "one"), said("b", "two")]);
    expect(await store.get("r1")).toEqual(first);
    await store.update(done(first), [said("c", "three"), said("d", "four")]);
    expect(await store.get("r1")).toEqual(done(first));
    expect(await store.items("r1", "input")).toEqual([said("a", "one"), said("b", "two")]);
    expect(await store.items("r1", "output")).toEqual([said("c", "three"), said("d", "four")]);
    expect(await store.item("d")).toEqual(said("d", "four"));
    expect(await store.item("e")).toBeUndefined();
    expect(await store.get("r2")).toBeUndefined();
    await store.close();
  });

  it("follows a conversation back to its beginning, and says when a part of it is gone", async () => {
    const store = await open();
    for (const [id, previous_response_id] of [
      ["r1", null],
      ["r2", "r1"],
      ["r3", "r2"],
      ["other", "r1"],
    ] as const) {
      const each = response(id, { previous_response_id });
      await store.begin(each, [said(`${id} in`, `${id} in`)]);
      await store.update(done(each), [said(`${id} out`, `${id} out`)]);
    }
    const texts = (await store.conversation("r3"))!.map(({ item }) => item.id);
    expect(texts).toEqual(["r1 in", "r1 out", "r2 in", "r2 out", "r3 in", "r3 out"]);
    expect(await store.delete("r2")).toBe(true);
    expect(await store.delete("r2")).toBe(false);
    expect(await store.conversation("r3")).toBeUndefined();
    expect(await store.conversation("other")).toHaveLength(4);
    expect(await store.item("r2 out")).toBeUndefined();
    await store.close();
  });

  it("ignores the end of a response that was deleted while it ran", async () => {
    const store = await open();
    await store.begin(response("r1"), [said("a", "one")]);
    await store.delete("r1");
    await store.update(done(response("r1")), [said("b", "two")]);
    expect(await store.get("r1")).toBeUndefined();
    expect(await store.item("b")).toBeUndefined();
    await store.close();
  });

  it("hides responses that are too old, and keeps them as long as younger ones go on from them", async () => {
    let seconds = 0;
    const store = await open({ days: 30, now: () => seconds * 1000 });
    const add = async (id: string, previous_response_id: string | null): Promise<void> => {
      const each = response(id, { created_at: seconds, previous_response_id });
      await store.begin(each, [said(id, id)]);
      await store.update(done(each), []);
    };
    await add("alone", null);
    await add("first", null);
    await add("second", "first");
    seconds = 20 * DAY;
    await add("third", "second");
    seconds = 31 * DAY;
    await add("new", null);
    expect(await store.get("first")).toBeUndefined();
    expect(await store.item("first")).toBeUndefined();
    expect((await store.conversation("third"))!.map(({ item }) => item.id)).toEqual([
      "first",
      "second",
      "third",
    ]);
    seconds = 51 * DAY;
    await add("newer", null);
    expect(await store.get("third")).toBeUndefined();
    expect(await store.get("new")).toBeDefined();
    await store.close();
  });

  it("drops the oldest when it is full, never what runs", async () => {
    const store = await open({ maxBytes: 10_000 });
    await store.begin(response("running"), []);
    for (let i = 0; i < 20; i++) {
      const each = response(`r${i}`, { created_at: 1000 + i });
      await store.begin(each, [said(`i${i}`, "x".repeat(500))]);
      await store.update(done(each), [said(`o${i}`, "y".repeat(200))]);
    }
    expect(await store.get("running")).toBeDefined();
    expect(await store.get("r19")).toBeDefined();
    expect(await store.get("r15")).toBeUndefined();
    expect(await store.item("i15")).toBeUndefined();
    await store.close();
  });
});

describe("a store in a file", () => {
  it("is there when it is opened again; what was running has failed", async () => {
    const before = await openStore({ file, now: () => 1_000_000 });
    await before.begin(response("r1"), [said("a", "one")]);
    await before.update(done(response("r1")), [said("b", "two")]);
    await before.begin(response("r2"), [said("c", "three")]);
    await before.close();

    const after = await openStore({ file, now: () => 1_000_000 });
    expect(await after.get("r1")).toEqual(done(response("r1")));
    expect(await after.items("r1", "output")).toEqual([said("b", "two")]);
    expect(await after.get("r2")).toMatchObject({ status: "failed", error: { code: "server_error" } });
    expect(await after.items("r2", "input")).toEqual([said("c", "three")]);
    await after.close();
    expect(readdirSync(folder)).toEqual(["responses.db"]);
  });

  it("is one server's alone", async () => {
    const store = await openStore({ file });
    await expect(openStore({ file })).rejects.toThrow(/in use.*process \d+/);
    await store.close();
    writeFileSync(`${file}.pid`, "1"); // a process that is always there
    await expect(openStore({ file })).rejects.toThrow("the store is in use");
    expect(existsSync(`${file}.pid`)).toBe(true);
  });

  it("opens after a process that was killed, whose locks are still there", async () => {
    const store = await openStore({ file });
    await store.begin(response("r1"), []);
    await store.close();
    // a process id above any that Linux gives, or, where the system tells when a process began, another process's by now
    const owner = existsSync("/proc/self/stat") ? `${process.ppid} boot 1` : "4194305";
    writeFileSync(`${file}.pid`, owner);
    mkdirSync(`${file}.lock`);
    const again = await openStore({ file, now: () => 1_000_000 });
    expect(await again.get("r1")).toBeDefined();
    await again.close();
  });

  it("refuses other files and other versions, and leaves them as they are", async () => {
    const other = await openDatabase(file);
    other.exec("CREATE TABLE mine (x INTEGER)");
    other.close();
    await expect(openStore({ file })).rejects.toThrow("the database isn't a store of responses");
    const text = join(folder, "notes.txt");
    writeFileSync(text, "not a database at all, but long enough to be taken for one".repeat(40));
    await expect(openStore({ file: text })).rejects.toThrow("the store can't be opened");
    const later = join(folder, "later.db");
    await (await openStore({ file: later })).close();
    const database = await openDatabase(later);
    database.exec("PRAGMA user_version = 3");
    database.close();
    await expect(openStore({ file: later })).rejects.toThrow(/another version.*expected 2, found 3/);
    expect(readdirSync(folder).filter((name) => name.endsWith(".pid"))).toEqual([]);
  });

  it("is whole or not there at all, however its making ended", async () => {
    writeFileSync(`${file}.new`, "what an earlier try left");
    const store = await openStore({ file, now: () => 1_000_000 });
    await store.begin(response("r1"), []);
    expect(await store.get("r1")).toBeDefined();
    await store.close();
    expect(readdirSync(folder)).toEqual(["responses.db"]);
  });
});
