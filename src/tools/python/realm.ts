/**
 * What the realm may call outside. Only strings and numbers pass in either direction: a single object of the outer realm
 * would hand its constructors to whoever gets hold of it.
 */
export interface RealmHost {
  /** Printed text, as it comes, and the number of characters after it that were dropped. */
  write(text: string, dropped: number): void;
  /** Random bytes in hexadecimal. */
  random(bytes: number): string;
  /** Milliseconds, from any origin. */
  now(): number;
}

export interface RealmFiles {
  readonly wasm: Uint8Array;
  readonly stdlib: Uint8Array;
  /** pyodide-lock.json. */
  readonly lock: string;
  /** The Python half: `runner.ts`. */
  readonly runner: string;
}

export interface Realm {
  /** Unpacks a wheel. */
  install(wheel: Uint8Array): void;
  /** Names that the code imports and that can't be found, as a JSON array. */
  missing(code: string): string;
  /** Runs a cell; gives the runner's reply, which is JSON. Throws when the interpreter is lost. */
  run(code: string, seconds: number, outputLimit: number): string;
}

// What Pyodide has of use here; its own types describe far more.
interface Pyodide {
  readonly FS: FileSystem;
  readonly globals: { get(name: string): (...values: unknown[]) => string };
  setInterruptBuffer(buffer: unknown): void;
  setStdin(options: { stdin(): null }): void;
  setStdout(options: { write(bytes: Uint8Array): number }): void;
  setStderr(options: { write(bytes: Uint8Array): number }): void;
  runPython(code: string, options: { globals?: unknown; filename: string }): unknown;
  unpackArchive(bytes: Uint8Array, format: string): void;
}
interface FileSystem {
  readonly nameTable: readonly (FileNode | undefined)[];
  readonly filesystems: { readonly MEMFS: Storage };
  readonly ErrnoError: new (errno: number) => Error;
  write(stream: { node: FileNode }, ...rest: unknown[]): number;
}
interface FileNode {
  contents?: unknown;
  readonly name_next?: FileNode;
}
interface Storage {
  expandFileStorage(node: FileNode, size: number): void;
  resizeFileStorage(node: FileNode, size: number): void;
}

/**
 * Starts Pyodide in the realm where this function runs, and leaves nothing there that leads out.
 *
 * The function must stand alone: its source text is evaluated inside a fresh realm, in which only ECMAScript exists. There,
 * Pyodide believes to be in the `d8` shell, and finds what it needs of it: `readbuffer`, `os.system`.
 */
export async function startRealm(
  host: RealmHost,
  files: RealmFiles,
  loadPyodide: (options: object) => Promise<unknown>,
  createPyodideModule: unknown,
  maximumFileBytes: number,
): Promise<Realm> {
  const scope = globalThis as unknown as Record<string, unknown>;
  const given = { wasm: files.wasm as Uint8Array | null, stdlib: files.stdlib as Uint8Array | null };
  // an exception of the outer realm, such as a stack overflow in it, must not arrive here as an object
  const guard = <T>(call: () => T): T => {
    try {
      return call();
    } catch {
      throw new Error("not available");
    }
  };
  const now = (): number => Number(guard(() => host.now()));
  const write = (text: string, dropped = 0): void => guard(() => host.write(String(text), Number(dropped)));
  const fill = (view: ArrayBufferView): ArrayBufferView => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (let at = 0; at < bytes.length; at += 1024) {
      const count = Math.min(1024, bytes.length - at);
      const hex = String(guard(() => host.random(count)));
      for (let i = 0; i < count; i++) bytes[at + i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
    }
    return view;
  };
  const base64 = (count: number): string => {
    const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const bytes = fill(new Uint8Array(count)) as Uint8Array;
    let text = "";
    for (let i = 0; i < count; i += 3) {
      const bits = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
      for (let k = 0; k < 4; k++) text += i + k > count ? "=" : digits[(bits >> (18 - 6 * k)) & 63];
    }
    return text;
  };
  const fromUtf8 = (bytes: Uint8Array): string => {
    let text = "";
    for (let i = 0; i < bytes.length; ) {
      const lead = bytes[i++]!;
      const more = lead < 0x80 ? 0 : lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc2 ? 1 : -1;
      let point = more < 1 ? lead : lead & (0x3f >> more);
      let left = more;
      while (left > 0 && (bytes[i]! & 0xc0) === 0x80) {
        point = (point << 6) | (bytes[i++]! & 0x3f);
        left--;
      }
      const good = more >= 0 && left === 0 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
      text += good ? String.fromCodePoint(point) : "\ufffd";
    }
    return text;
  };

  const shell = scope["WorkerGlobalScope"] === undefined;
  if (shell) {
    const console = { log() {}, info() {}, debug() {}, warn() {}, error() {} };
    const readbuffer = (path: string): ArrayBufferLike => {
      const bytes = path.endsWith(".wasm") ? given.wasm : path.endsWith("stdlib.zip") ? given.stdlib : null;
      if (bytes === null) throw new Error("no such file");
      return bytes.buffer;
    };
    Object.assign(scope, { console, readbuffer, clearTimeout() {} });
    scope["performance"] = { now, timeOrigin: 0 };
    scope["setTimeout"] = (call: () => void): number => {
      void Promise.resolve().then(call);
      return 0;
    };
    scope["crypto"] = { getRandomValues: fill };
    // asked for as `head -c16 /dev/urandom | base64`
    scope["os"] = {
      system: (_: string, words: string[]) => base64(Number(/-c(\d+)/.exec(String(words[1]))?.[1])),
    };
    scope["TextDecoder"] = class {
      decode(bytes?: Uint8Array): string {
        return bytes === undefined ? "" : fromUtf8(bytes);
      }
    };
  }

  const pyodide = (await loadPyodide({
    indexURL: shell ? "/" : "http://localhost/",
    createPyodideModule,
    lockFileContents: JSON.parse(files.lock),
    // the module `js` shows this and nothing else
    jsglobals: Object.create(null),
    env: { HOME: "/home/user", MPLBACKEND: "agg", PYTHONINSPECT: "" },
    stdin: () => null,
    stdout: () => {},
    stderr: () => {},
  })) as Pyodide;
  given.wasm = given.stdlib = null;
  for (const name of ["read", "load", "readbuffer"]) delete scope[name];

  // Files live outside WebAssembly's memory, so they are counted here.
  const { FS } = pyodide;
  const { MEMFS } = FS.filesystems;
  const sizeOf = (node: FileNode): number =>
    ArrayBuffer.isView(node.contents) ? node.contents.byteLength : 0;
  let stored = 0;
  const count = (): void => {
    stored = 0;
    for (const first of FS.nameTable)
      for (let n = first; n !== undefined; n = n.name_next) stored += sizeOf(n);
  };
  count();
  const base = stored;
  const reserve = (bytes: number): void => {
    if (bytes <= 0) return;
    if (stored + bytes > base + maximumFileBytes) count();
    if (stored + bytes > base + maximumFileBytes) throw new FS.ErrnoError(51); // ENOSPC
    stored += bytes;
  };
  const { expandFileStorage, resizeFileStorage } = MEMFS;
  MEMFS.expandFileStorage = (node, size) => {
    const have = sizeOf(node);
    if (size <= have) return;
    // in larger steps than MEMFS takes: each leaves the previous array to a collector that seldom gets to run
    const wanted = Math.max(size, have + Math.min(have, 2 ** 25));
    reserve(Math.ceil(wanted * 1.125) - have);
    expandFileStorage(node, wanted);
  };
  MEMFS.resizeFileStorage = (node, size) => {
    reserve(size - sizeOf(node));
    resizeFileStorage(node, size);
  };
  const plainWrite = FS.write;
  FS.write = (stream, ...rest) => {
    if (sizeOf(stream.node) === 0) reserve(Number(rest[2]));
    return plainWrite(stream, ...rest);
  };

  // Python asks this "array" now and then whether a signal has come: 2 is SIGINT.
  let deadline = Number.POSITIVE_INFINITY;
  pyodide.setInterruptBuffer({
    get 0(): number {
      if (now() < deadline) return 0;
      deadline = Number.POSITIVE_INFINITY;
      return 2;
    },
    set 0(_: number) {},
  });
  const bytesOut = {
    write(bytes: Uint8Array): number {
      write(fromUtf8(bytes));
      return bytes.length;
    },
  };
  pyodide.setStdin({ stdin: () => null });
  pyodide.setStdout(bytesOut);
  pyodide.setStderr(bytesOut);
  pyodide.runPython(files.runner, { filename: "<runner>" });
  pyodide.globals.get("_start")(write, () => {
    deadline = Number.POSITIVE_INFINITY;
  });
  const runCell = pyodide.globals.get("_run");
  const findMissing = pyodide.globals.get("_missing");
  pyodide.runPython("del _start, _run, _missing", { filename: "<runner>" });

  return {
    install: (wheel) => pyodide.unpackArchive(wheel, "wheel"),
    missing: (code) => String(findMissing(code)),
    run(code, seconds, outputLimit) {
      deadline = now() + 1000 * seconds;
      try {
        return String(runCell(code, seconds, outputLimit));
      } finally {
        deadline = Number.POSITIVE_INFINITY;
      }
    },
  };
}
