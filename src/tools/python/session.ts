import type { FromSandbox, ToSandbox } from "./messages.ts";
import type { Realm, RealmFiles, startRealm } from "./realm.ts";
import { RUNNER } from "./runner.ts";

type FileName = (ToSandbox & { type: "file" })["name"];

export interface SessionHost {
  send(message: FromSandbox): void;
  random(bytes: number): string;
  /** Starts the interpreter in a realm: see `realm.ts`. */
  start: (files: ReadonlyMap<FileName, Uint8Array>, host: Outside, fileBytes: number) => Promise<Realm>;
}

type Outside = Parameters<typeof startRealm>[0];

/** The sandbox's own side, one for each interpreter: gathers the files, starts Python, answers messages. */
export function createSession(host: SessionHost): (message: ToSandbox, bytes: Uint8Array) => Promise<void> {
  const files = new Map<FileName, Uint8Array>();
  let realm: Realm | undefined;
  let room = 0;
  let cut = 0;
  let pending = "";
  let sent = 0;

  const flush = (): void => {
    if (pending !== "") host.send({ type: "output", text: pending });
    pending = "";
    sent = performance.now();
  };
  const outside: Outside = {
    write(text, dropped) {
      // the realm may have lost its own String
      if (typeof text !== "string" || typeof dropped !== "number") return;
      const kept = text.slice(0, room);
      room -= kept.length;
      cut += text.length - kept.length + dropped;
      pending += kept;
      // shown even if the interpreter has to be killed
      if (pending.length > 4096 || performance.now() - sent > 100) flush();
    },
    random: (count) => host.random(typeof count === "number" ? Math.min(Math.max(count, 0), 1024) : 0),
    now: () => performance.now(),
  };

  return async (message, bytes) => {
    try {
      switch (message.type) {
        case "file":
          files.set(message.name, bytes);
          return;
        case "boot":
          realm = await host.start(files, outside, message.fileBytes);
          files.clear();
          host.send({ type: "ready" });
          return;
        case "install":
          realm!.install(bytes);
          return;
        case "missing":
          host.send({ type: "missing", names: realm!.missing(message.code) });
          return;
        case "run": {
          room = message.outputLimit;
          cut = 0;
          const reply = realm!.run(message.code, message.seconds, message.outputLimit);
          flush();
          host.send({ type: "done", reply, cut });
        }
      }
    } catch (error) {
      flush();
      host.send({ type: "failed", reason: reasonOf(error) });
    }
  };
}

/** The files of the realm that aren't programs. */
export function realmFiles(
  files: ReadonlyMap<FileName, Uint8Array>,
  copy: (bytes: Uint8Array) => Uint8Array,
): RealmFiles {
  return {
    wasm: copy(files.get("wasm")!),
    stdlib: copy(files.get("stdlib")!),
    lock: new TextDecoder().decode(files.get("lock")!),
    runner: RUNNER,
  };
}

/** A program of Pyodide's that can't load modules. */
export function withoutImports(source: string): string {
  return source.replaceAll(/\bimport\(/g, "noImport(");
}

/** Text of whatever was thrown, which may be an object of the realm. */
function reasonOf(error: unknown): string {
  try {
    return String((error as { message?: unknown } | null)?.message ?? error).slice(0, 4000);
  } catch {
    return "unknown";
  }
}
