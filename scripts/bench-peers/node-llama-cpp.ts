import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Measurement, Program } from "./measurement.ts";

/** llama.cpp's CPU build, which the npm package node-llama-cpp brings; in a process of its own. */
export function nodeLlamaCpp(version: string): Program {
  return {
    name: `node-llama-cpp ${version}`,
    ours: false,
    run: (task) =>
      new Promise((resolve, reject) => {
        const script = fileURLToPath(new URL("node-llama-cpp-child.ts", import.meta.url));
        const child = fork(script, [JSON.stringify(task)], { timeout: task.timeout }); // under tsx, as this process
        let measured: Measurement | undefined;
        child.on("message", (message) => {
          measured = message as Measurement;
        });
        child.on("error", reject);
        child.on("exit", (code, signal) => {
          if (measured !== undefined && code === 0) resolve(measured);
          else reject(new Error(`the process ended with ${signal ?? `status ${code}`}`));
        });
      }),
  };
}
