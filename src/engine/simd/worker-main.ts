/** Entry of a worker thread: node:worker_threads where there are any, else a Web Worker. */
import { createWorker, type ToWorker } from "./worker.ts";

interface Port {
  postMessage(message: string): void;
}

async function main(): Promise<void> {
  if (globalThis.process?.versions?.node !== undefined) {
    const { parentPort } = await import("node:worker_threads");
    const handle = createWorker((message) => parentPort!.postMessage(message));
    parentPort!.on("message", (message: ToWorker) => handle(message));
    return;
  }
  const handle = createWorker((message) => (globalThis as unknown as Port).postMessage(message));
  globalThis.addEventListener("message", (event) => handle((event as MessageEvent<ToWorker>).data));
}

// messages that arrive while the import is under way wait in the port
await main();
