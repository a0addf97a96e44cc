/**
 * What digest.js does, in a browser: in a worker of its own where memory can be shared, else on the page's thread. The lines
 * go back to the server (check-runtimes.ts).
 */
import { digestActivations } from "../../dist/oracle/digest.js";

async function read(path) {
  const response = await fetch(new URL(`../../golden/${path}`, import.meta.url));
  if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

async function lines() {
  const results = await digestActivations(read).catch((error) => String(error.stack));
  if (typeof results === "string") return results;
  return results.map(({ digest, simd, run }) => `${digest}  SIMD ${simd}, ${JSON.stringify(run)}`).join("\n");
}

const send = (body) => fetch("/result", { method: "POST", body: `${navigator.userAgent}\n${body}` });

if (typeof document === "undefined") postMessage(await lines());
else if (crossOriginIsolated) {
  const worker = new Worker(import.meta.url, { type: "module" });
  worker.onmessage = ({ data }) => send(data);
  worker.onerror = ({ message }) => send(message);
} else await send(await lines());
