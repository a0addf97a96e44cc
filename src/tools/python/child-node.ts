/**
 * Entry of the process in which Python runs under Node.js, Deno and Bun. It reads messages from standard input, each
 * as two lengths (u32, little-endian), JSON and bytes, and answers on standard output, a line of JSON each.
 */
import { randomBytes } from "node:crypto";
import { writeSync } from "node:fs";
import { createContext, Script } from "node:vm";
import type { FromSandbox, ToSandbox } from "./messages.ts";
import { type Realm, startRealm } from "./realm.ts";
import { createSession, realmFiles, withoutImports } from "./session.ts";

const session = createSession({
  send,
  random: (count) => randomBytes(count).toString("hex"),
  async start(files, host, fileBytes) {
    const context = createContext(Object.create(null) as object, {
      codeGeneration: { strings: false, wasm: true },
      name: "python",
    });
    // objects of this side stay on this side, except for three functions, which the realm's guard holds
    const inside = (source: string, filename: string): unknown =>
      new Script(source, { filename }).runInContext(context);
    // by these Pyodide knows the shell `d8`
    inside("globalThis.read = globalThis.load = () => { throw new Error('not available') }", "realm");
    const Bytes = inside("Uint8Array", "realm") as Uint8ArrayConstructor;
    const text = (name: "asm" | "loader"): string => new TextDecoder().decode(files.get(name)!);
    const load = inside(asScript(text("loader"), /export\{(\w+) as loadPyodide,[^}]*\};?/, "$1"), "pyodide");
    const create = inside(
      asScript(text("asm"), /export default (_createPyodideModule);/, "$1"),
      "pyodide.asm",
    );
    const start = inside(`(${startRealm})`, "realm") as typeof startRealm;
    const shared = inside("(write, random, now) => ({ write, random, now })", "realm") as (
      ...functions: unknown[]
    ) => typeof host;
    const filesInside = inside(
      "(wasm, stdlib, lock, runner) => ({ wasm, stdlib, lock, runner })",
      "realm",
    ) as (...values: unknown[]) => ReturnType<typeof realmFiles>;
    const { wasm, stdlib, lock, runner } = realmFiles(files, (bytes) => new Bytes(bytes));
    const realm: Realm = await start(
      shared(host.write, host.random, host.now),
      filesInside(wasm, stdlib, lock, runner),
      load as Parameters<typeof startRealm>[2],
      create,
      fileBytes,
    );
    return { ...realm, install: (wheel) => realm.install(new Bytes(wheel)) };
  },
});

/** An ES module as a script whose value is its export; without imports of any kind. */
function asScript(source: string, exported: RegExp, value: string): string {
  if (!exported.test(source)) throw new Error("these files of Pyodide have another form than those of 314.0");
  return withoutImports(source)
    .replace(/^\/\/# sourceMappingURL=.*$/m, "")
    .replace(exported, value)
    .replaceAll(/\bimport\.meta\.url\b/g, '"file:///pyodide.mjs"');
}

function send(message: FromSandbox): void {
  const bytes = new TextEncoder().encode(`${JSON.stringify(message)}\n`);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      // the pipe is full
      if ((error as { code?: string }).code !== "EAGAIN") process.exit(1);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** Splits what arrives into messages. */
function reader(take: (message: ToSandbox, bytes: Uint8Array) => void): (chunk: Uint8Array) => void {
  let chunks: Uint8Array[] = [];
  let held = 0;
  let need = 8;
  return (chunk) => {
    chunks.push(chunk);
    held += chunk.length;
    while (held >= need) {
      const all = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
      const view = new DataView(all.buffer, all.byteOffset, all.length);
      const [json, data] = [view.getUint32(0, true), view.getUint32(4, true)];
      chunks = [all];
      need = 8 + json + data;
      if (held < need) return;
      const message = JSON.parse(new TextDecoder().decode(all.subarray(8, 8 + json))) as ToSandbox;
      const bytes = all.slice(8 + json, need);
      chunks = [all.subarray(need)];
      held -= need;
      need = 8;
      take(message, bytes);
    }
  };
}

let queue = Promise.resolve();
const read = reader((message, bytes) => {
  queue = queue.then(() => session(message, bytes));
});
process.stdin.on("data", (chunk: Buffer) => read(chunk));
process.stdin.on("end", () => process.exit(0));
process.on("uncaughtException", () => process.exit(1));
// a promise that Python left behind, say
process.on("unhandledRejection", () => {});
