import type { FromSandbox } from "./messages.ts";
import type { Sandbox, SandboxEvents } from "./sandbox.ts";

/** Starts the Web Worker. */
export function startSandbox(events: SandboxEvents): Sandbox {
  const worker = new Worker(new URL("./worker-web.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }: MessageEvent<FromSandbox>) => events.message(data);
  worker.onerror = (event) => events.exit(event.message || "an error while it started");
  return {
    send(message, bytes = new Uint8Array()) {
      // a copy, whose buffer goes over
      const data = bytes.slice();
      worker.postMessage({ message, data }, [data.buffer]);
    },
    kill: () => worker.terminate(),
  };
}
