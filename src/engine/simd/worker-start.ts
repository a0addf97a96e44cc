import type { ToWorker } from "./worker.ts";

/** A running worker, of whatever kind. */
export interface WorkerHandle {
  tell(message: ToWorker): void;
  /** Resolves when the worker has answered; rejects if it dies first. */
  ask(message: ToWorker): Promise<void>;
  terminate(): Promise<void>;
}

/** @param onDeath called once if the worker ends or fails on its own */
export async function startWorker(onDeath: (reason: string) => void): Promise<WorkerHandle> {
  // the built file also when this module runs from source: not every engine runs TypeScript in workers
  const url = import.meta.url.endsWith(".ts")
    ? new URL("../../../dist/engine/simd/worker-main.js", import.meta.url)
    : undefined;
  const waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  let closing = false;
  const answered = (): void => waiting.shift()?.resolve();
  const died = (reason: string): void => {
    if (closing) return;
    onDeath(reason);
    for (const { reject } of waiting.splice(0)) reject(new Error(reason));
  };

  if (globalThis.process?.versions?.node !== undefined) {
    const { Worker } = await import("node:worker_threads");
    const worker = new Worker(url ?? new URL("./worker-main.js", import.meta.url), { execArgv: [] });
    worker.on("message", answered);
    worker.on("error", (error) => died(error.message));
    worker.on("exit", (code) => died(`exit code ${code}`));
    worker.unref();
    return handle(
      (message) => worker.postMessage(message),
      async () => void (await worker.terminate()),
      (waits) => (waits ? worker.ref() : worker.unref()),
    );
  }
  const worker = new Worker(url ?? new URL("./worker-main.js", import.meta.url), { type: "module" });
  worker.onmessage = answered;
  worker.onerror = (event) => died(event.message || "an error while it started");
  return handle(
    (message) => worker.postMessage(message),
    async () => worker.terminate(),
    () => {},
  );

  function handle(
    post: (message: ToWorker) => void,
    terminate: () => Promise<void>,
    keepAlive: (waits: boolean) => void,
  ): WorkerHandle {
    return {
      tell: post,
      async ask(message) {
        keepAlive(true);
        const answer = new Promise<void>((resolve, reject) => waiting.push({ resolve, reject }));
        post(message);
        await answer.finally(() => keepAlive(false));
      },
      terminate() {
        closing = true;
        return terminate();
      },
    };
  }
}
