/**
 * Entry of the Web Worker in which Python runs in browsers. Once Pyodide is there, the worker loses every function by
 * which a page or a program reaches the outside, so that Python finds none.
 */
import type { FromSandbox, ToSandbox } from "./messages.ts";
import { startRealm } from "./realm.ts";
import { createSession, realmFiles, withoutImports } from "./session.ts";

const scope = globalThis as unknown as Record<string, unknown>;
const post = globalThis.postMessage.bind(globalThis) as (message: FromSandbox) => void;
const random = crypto.getRandomValues.bind(crypto);

const session = createSession({
  send: (message) => post(message),
  random: (count) =>
    Array.from(random(new Uint8Array(count)), (b) => b.toString(16).padStart(2, "0")).join(""),
  async start(files, host, fileBytes) {
    const load = async (name: "asm" | "loader"): Promise<Record<string, unknown>> => {
      const url = URL.createObjectURL(
        new Blob([withoutImports(new TextDecoder().decode(files.get(name)!))], { type: "text/javascript" }),
      );
      try {
        return (await import(url)) as Record<string, unknown>;
      } finally {
        URL.revokeObjectURL(url);
      }
    };
    const [asm, loader] = [await load("asm"), await load("loader")];
    const inner = realmFiles(files, (bytes) => bytes);
    strip(NEEDED_AT_START);
    // the only files that there are
    scope["fetch"] = async (url: unknown) => {
      const wasm = String(url).endsWith(".wasm");
      const type = wasm ? "application/wasm" : "application/octet-stream";
      return new Response((wasm ? inner.wasm : inner.stdlib) as BodyInit, {
        headers: { "content-type": type },
      });
    };
    const realm = await startRealm(
      host,
      inner,
      loader["loadPyodide"] as Parameters<typeof startRealm>[2],
      asm["default"],
      fileBytes,
    );
    strip(NEEDED_LATER);
    return realm;
  },
});

const NEEDED_LATER: readonly string[] =
  "TextDecoder TextEncoder WebAssembly crypto performance console setTimeout clearTimeout onmessage".split(
    " ",
  );
const NEEDED_AT_START: readonly string[] = [
  ..."Response WorkerGlobalScope DedicatedWorkerGlobalScope URL location navigator self".split(" "),
  ...NEEDED_LATER,
];

/** Removes the web from the worker, here and up the prototype chain. ECMAScript's own globals stay, but for `eval`. */
function strip(kept: readonly string[]): void {
  const language = new Set(
    "Object Function Array Number Boolean String Symbol BigInt Math JSON Reflect Proxy Promise Date RegExp Error EvalError RangeError ReferenceError SyntaxError TypeError URIError AggregateError Map Set WeakMap WeakSet WeakRef FinalizationRegistry Iterator ArrayBuffer SharedArrayBuffer DataView Atomics Intl Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array Float16Array Float32Array Float64Array BigInt64Array BigUint64Array globalThis undefined NaN Infinity parseInt parseFloat isNaN isFinite decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape".split(
      " ",
    ),
  );
  for (
    let at: object | null = globalThis;
    at !== null && at !== Object.prototype;
    at = Object.getPrototypeOf(at)
  )
    for (const name of Object.getOwnPropertyNames(at))
      if (!kept.includes(name) && !language.has(name) && name !== "constructor")
        Reflect.deleteProperty(at, name);
  // programs from text, and with them `import()`
  for (const sample of [() => {}, async () => {}, function* () {}, async function* () {}]) {
    const prototype = Object.getPrototypeOf(sample) as object;
    const refuse = (): never => {
      throw new EvalError("not available");
    };
    refuse.prototype = prototype;
    Object.defineProperty(prototype, "constructor", { value: refuse });
    if (prototype === Function.prototype) scope["Function"] = refuse;
  }
}

let queue = Promise.resolve();
globalThis.onmessage = ({ data }: MessageEvent<{ message: ToSandbox; data: Uint8Array }>): void => {
  queue = queue.then(() => session(data.message, data.data));
};
