import { readdir, readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { transformWithEsbuild } from "vite";
import { type Measurement, type Program, type Task, WARM_UP } from "./measurement.ts";
import type { PageResult, PageTask } from "./page.ts";

// What is used of playwright-core's types: the package is installed apart, and the project type-checks without it.
interface Playwright {
  readonly chromium: { launch(options: object): Promise<Browser> };
}
interface Browser {
  newPage(): Promise<Page>;
  close(): Promise<void>;
}
interface Page {
  goto(url: string): Promise<unknown>;
  on(event: "console", listener: (message: { text(): string }) => void): void;
  on(event: "crash", listener: () => void): void;
  setInputFiles(selector: string, path: string): Promise<void>;
  evaluate(code: string): Promise<unknown>;
}

/**
 * Files from here on are not tried. wllama's build has 64-bit addresses, but its memory ends at 4 GiB, which hold the
 * weights, caches and buffers: splitting a file into parts doesn't change that.
 */
export const MAX_FILE_BYTES = 3.5e9;

/** llama.cpp compiled to WebAssembly by the npm package @wllama/wllama, in a headless Chromium. */
export function wllama(version: string, chromium: string, verbose: boolean): Program {
  return {
    name: `wllama ${version}, Chromium`,
    ours: false,
    run: async (task) => {
      const server = await serve();
      const packageName = "playwright-core";
      const { chromium: driver }: Playwright = await import(packageName);
      const browser = await driver.launch({ executablePath: chromium, args: ["--disable-gpu"] });
      try {
        return await measure(await browser.newPage(), `http://localhost:${portOf(server)}/`, task, verbose);
      } finally {
        await browser.close();
        server.close();
      }
    },
  };
}

async function measure(page: Page, url: string, task: Task, verbose: boolean): Promise<Measurement> {
  if (verbose) page.on("console", (message) => process.stderr.write(`${message.text()}\n`));
  const crashed = new Promise<never>((_, reject) => {
    page.on("crash", () => reject(new Error("the page crashed")));
    setTimeout(() => reject(new Error("the page takes too long")), task.timeout).unref();
  });
  crashed.catch(() => {}); // also where nothing waits for it yet
  await page.goto(url);
  await page.setInputFiles("input", task.model); // a file of the disk, as a user picks it: nothing is downloaded
  const { threads, prompt, gen } = task;
  const pageTask: PageTask = { threads, prompt, gen, warmUp: WARM_UP };
  const running = page.evaluate(`measure(${JSON.stringify(pageTask)})`) as Promise<PageResult>;
  const result = await Promise.race([running, crashed]);
  return { ...result, peakRssBytes: await peakRssOfRenderers() };
}

/** `VmHWM` of the largest renderer below this process: that of the page, whose workers are its threads. Linux only. */
async function peakRssOfRenderers(): Promise<number> {
  if (process.platform !== "linux") return Number.NaN;
  let peak = 0;
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if (!(await readFile(`/proc/${pid}/cmdline`, "utf8")).includes("--type=renderer")) continue;
      if (!(await isBelow(pid, process.pid))) continue;
      const status = await readFile(`/proc/${pid}/status`, "utf8");
      peak = Math.max(peak, Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024);
    } catch {
      // the process ended meanwhile
    }
  }
  return peak;
}

async function isBelow(pid: string, ancestor: number): Promise<boolean> {
  for (let at = Number(pid); at > 1; ) {
    if (at === ancestor) return true;
    at = Number(/^PPid:\s+(\d+)$/m.exec(await readFile(`/proc/${at}/status`, "utf8"))![1]);
  }
  return false;
}

/** Serves the page and wllama's two files, with the headers without which a page gets no shared memory. */
async function serve(): Promise<Server> {
  const esm = fileURLToPath(new URL("node_modules/@wllama/wllama/esm", import.meta.url));
  const files: Record<string, () => Promise<string | Uint8Array>> = {
    "/": async () => `<!doctype html><input type="file"><script type="module" src="page.ts"></script>`,
    "/page.ts": () => javascript("page.ts"),
    "/measurement.ts": () => javascript("measurement.ts"),
    "/wllama.js": () => readFile(join(esm, "index.js")),
    "/wllama.wasm": () => readFile(join(esm, "wasm", "wllama.wasm")),
  };
  const server = createServer(async (request, response) => {
    const file = files[request.url ?? ""];
    if (file === undefined) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, {
      "content-type": TYPES[extname(request.url!)] ?? "text/html",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    });
    response.end(await file());
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return server;
}

async function javascript(name: string): Promise<string> {
  const text = await readFile(fileURLToPath(new URL(name, import.meta.url)), "utf8");
  return (await transformWithEsbuild(text, name)).code;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".ts": "text/javascript",
  ".wasm": "application/wasm",
};
