import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { codeOf } from "../../src/tools/python/code.ts";
import { indexPackages } from "../../src/tools/python/packages.ts";
import { type PythonTool, pythonTool } from "../../src/tools/python/python-tool.ts";
import { sandboxArguments } from "../../src/tools/python/sandbox-node.ts";
import { limitMemory } from "../../src/tools/python/wasm-memory.ts";
import type { ToolResult } from "../../src/tools/tool.ts";

// one interpreter for nearly all: a start takes seconds
let python: PythonTool;
let server: Server;
let connections = 0;
const folder = mkdtempSync(join(tmpdir(), "python-"));
// a wheel with a stand-in for matplotlib: what is asked of it is get_fignums, figure, savefig and close
const WHEEL = [
  "UEsDBBQAAAAIAAAAIVAAAAAAAgAAAAAAAAAWAAAAbWF0cGxvdGxpYi9fX2luaXRfXy5weQMAUEsDBBQAAAAIAAAAIVBxHVj4zwAA",
  "AFIBAAAUAAAAbWF0cGxvdGxpYi9weXBsb3QucHldjs2OwjAMhO95CouTs4sqcWOR9rrcEHeCUEjdHykkVZxQHp+kBVGtbzP+Zuzj",
  "YQ+/cF2px/bneNiroJx6bLRyK+EHcpemb1MgzszpLIzVzPA3WTsBeWpqgPWdMoZMtlmDT3ENjQ83HeWuqGoMfSTM5fD9WlTkjK8J",
  "pRSlYLA+4tdd20RcMou7lR6yqnG++Q5w50fM5JDfmYyWYkm4dOPiB4opOLA9RwzatYSWHC575atplpiDVwqf5BI9zcvzxBvrmXDs",
  "etP9/9RY0gGleAJQSwMEFAAAAAgAAAAhUOSfL/ItAAAAMgAAAB8AAABtYXRwbG90bGliLTAuZGlzdC1pbmZvL01FVEFEQVRB800t",
  "SUxJLEnUDUstKs7Mz7NSMNIz5PJLzE21UshNLCnIyS/JyUzigssacAEAUEsDBBQAAAAIAAAAIVB7g7/BPQAAADsAAAAcAAAAbWF0",
  "cGxvdGxpYi0wLmRpc3QtaW5mby9XSEVFTAvPSE3N0Q1LLSrOzM+zUjDUM+AKys8v0fUs1g0oLUrNyUyyUigpKk3lCklMt1IoqDTW",
  "zcvPS9VNzKvkAgBQSwMEFAAAAAgAAAAhUAAAAAACAAAAAAAAAB0AAABtYXRwbG90bGliLTAuZGlzdC1pbmZvL1JFQ09SRAMAUEsB",
  "AhQDFAAAAAgAAAAhUAAAAAACAAAAAAAAABYAAAAAAAAAAAAAAIABAAAAAG1hdHBsb3RsaWIvX19pbml0X18ucHlQSwECFAMUAAAA",
  "CAAAACFQcR1Y+M8AAABSAQAAFAAAAAAAAAAAAAAAgAE2AAAAbWF0cGxvdGxpYi9weXBsb3QucHlQSwECFAMUAAAACAAAACFQ5J8v",
  "8i0AAAAyAAAAHwAAAAAAAAAAAAAAgAE3AQAAbWF0cGxvdGxpYi0wLmRpc3QtaW5mby9NRVRBREFUQVBLAQIUAxQAAAAIAAAAIVB7",
  "g7/BPQAAADsAAAAcAAAAAAAAAAAAAACAAaEBAABtYXRwbG90bGliLTAuZGlzdC1pbmZvL1dIRUVMUEsBAhQDFAAAAAgAAAAhUAAA",
  "AAACAAAAAAAAAB0AAAAAAAAAAAAAAIABGAIAAG1hdHBsb3RsaWItMC5kaXN0LWluZm8vUkVDT1JEUEsFBgAAAAAFAAUAaAEAAFUC",
  "AAAAAA==",
].join("");
const SECRET = "xyzzy-2718281828";

beforeAll(async () => {
  process.env["PYTHON_TEST_SECRET"] = SECRET;
  writeFileSync(join(folder, "secret.txt"), SECRET);
  server = createServer((socket) => {
    connections++;
    socket.on("error", () => {});
    socket.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  mkdirSync(join(folder, "wheels"));
  writeFileSync(join(folder, "wheels", "matplotlib-0-py3-none-any.whl"), WHEEL, "base64");
  python = pythonTool({
    packages: join(folder, "wheels"),
    timeoutSeconds: 2.5,
    memoryBytes: 128 * 2 ** 20,
    outputLimit: 2000,
    prewarm: true,
  });
  await python.warm();
}, 120_000);
afterAll(() => {
  python.close();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

async function run(code: string, tool = python, signal = new AbortController().signal): Promise<ToolResult> {
  return await tool.call({ recipient: "python", function: "", content: code }, { signal });
}

describe("a cell", () => {
  test("shows what is printed, then its last value, as Jupyter does", async () => {
    expect(await run('import sys\nprint("a", end="")\nprint("b", file=sys.stderr)\nx = 41\nx + 1')).toEqual({
      text: "ab\n42",
    });
    expect(await run("x")).toEqual({ text: "41" });
    expect(await run('_ == 41, "é€😀"')).toEqual({ text: "(True, 'é€😀')" });
    expect((await run("None")).text).toMatch(/^\[WARN\] No output available/);
    expect((await run("x;")).text).toMatch(/^\[WARN\] No output available/);
    expect(await run("import os; os.write(1, 'ü\\n'.encode()); display(3)")).toEqual({ text: "ü\n3" });
  });

  test("shows an exception with its own lines only", async () => {
    const { text, isError } = await run("import json\ndef f(s):\n    return json.loads(s)\nprint(1)\nf('{')");
    expect(isError).toBe(true);
    expect(text).toMatch(
      /^1\nTraceback \(most recent call last\):\n {2}File "<cell \d+>", line 5, in <module>\n {4}f\('\{'\)/,
    );
    expect(text).toMatch(/line 3, in f\n {4}return json\.loads\(s\)/);
    expect(text).toMatch(/\njson\.decoder\.JSONDecodeError: Expecting property name[^\n]*$/);
    expect(text).not.toMatch(/decoder\.py|runner/);
    expect((await run("a b")).text).toMatch(/SyntaxError: invalid syntax/);
  });

  test("may await, run an event loop, and leave tasks for the next one", async () => {
    const code = "import asyncio\nasync def f(n):\n    await asyncio.sleep(0.01)\n    return n\n";
    expect(await run(`${code}t = asyncio.get_event_loop; asyncio.run(f(1))`)).toEqual({ text: "1" });
    expect(await run("await asyncio.gather(f(2), f(3))")).toEqual({ text: "[2, 3]" });
    expect((await run("await asyncio.get_running_loop().create_future()")).text).toMatch(/deadlock/);
  });

  test("may end itself", async () => {
    expect((await run("import sys; print('x'); sys.exit()")).text).toBe("x");
    expect(await run("raise SystemExit('bye')")).toEqual({ text: "SystemExit: bye", isError: true });
    expect((await run("input()")).text).toMatch(/EOFError/);
    expect((await run("raise KeyboardInterrupt")).text).not.toMatch(/timed out/);
  });

  test("finds wheels of the host's folder, and gives matplotlib's open figures", async () => {
    const { text, images } = await run(
      "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nprint('ok')",
    );
    expect(text).toBe("ok");
    expect(images).toEqual([
      { mediaType: "image/png", data: new Uint8Array(Buffer.from("\x89PNG\r\n\x1a\npng", "latin1")) },
    ]);
    expect((await run("plt.get_fignums()")).text).toBe("[]");
  });

  test("gives images: by its last value, and as files", async () => {
    // a 1 × 1 image, put together by Python's own zlib
    const png = `import struct, zlib
def chunk(kind, data): return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
png = b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"\\0\\0")) + chunk(b"IEND", b"")
class Plot:
    def __repr__(self): return "a plot"
    def _repr_png_(self): return png
`;
    const shown = await run(`${png}Plot()`);
    expect(shown.text).toBe("a plot");
    expect(shown.images?.map(({ mediaType }) => mediaType)).toEqual(["image/png"]);
    expect(Buffer.from(shown.images![0]!.data).readUInt32BE(16)).toBe(1);
    const saved = await run(
      'open("/mnt/data/p.png", "wb").write(png)\nopen("fake.jpg", "w").write("no image")\nopen("v.svg", "w").write("<svg/>");',
    );
    expect(saved.images?.map(({ mediaType }) => mediaType).sort()).toEqual(["image/png", "image/svg+xml"]);
    expect((await run("1")).images).toBeUndefined();
    expect(
      (await run("for i in range(50): display(Plot())\nopen('/mnt/data/p.png','rb').read() == png")).text,
    ).toMatch(/True$/);
  });
});

const port = (): number => (server.address() as { port: number }).port;
/** Python that gets at Pyodide's own JavaScript objects, in spite of the blocked modules. */
const JS =
  "import sys\nfor m in ('js', 'pyodide_js'): sys.modules.pop(m, None)\nimport pyodide_js, js\napi = pyodide_js._api\nF = pyodide_js.loadPackage.constructor\n";

describe("no way out:", () => {
  test.each<[string, () => string]>([
    ["reading /etc/passwd", () => 'open("/etc/passwd").read()'],
    ["reading package.json", () => `open(${JSON.stringify(`${process.cwd()}/package.json`)}).read()`],
    ["reading a secret file", () => `open(${JSON.stringify(join(folder, "secret.txt"))}).read()`],
    ["reading /proc/self/environ", () => 'open("/proc/self/environ").read()'],
    ["the environment", () => "import os; os.environ['PYTHON_TEST_SECRET']"],
    ["a socket", () => `import socket; s = socket.socket(); s.connect(("127.0.0.1", ${port()}))`],
    ["urllib", () => `import urllib.request; urllib.request.urlopen("http://127.0.0.1:${port()}/")`],
    ["pyodide.http", () => `from pyodide.http import pyfetch; await pyfetch("http://127.0.0.1:${port()}/")`],
    [
      "pyodide.http, in sync",
      () => `from pyodide.http import open_url; open_url("http://127.0.0.1:${port()}/")`,
    ],
    ["subprocess", () => 'import subprocess; subprocess.run(["touch", "x"])'],
    ["os.system", () => 'import os; assert os.system("touch x") == 0'],
    ["os.execv", () => 'import os; os.execv("/bin/sh", ["sh"])'],
    ["os.fork", () => "import os; os.fork()"],
    ["threads", () => "import threading; threading.Thread(target=print).start()"],
    ["multiprocessing", () => "import multiprocessing as m; m.Process(target=print).start()"],
    ["import js", () => "import js"],
    ["import pyodide_js", () => "import pyodide_js"],
    ["run_js", () => 'from pyodide.code import run_js; run_js("globalThis")'],
    ["eval", () => `${JS}js.eval("1")`],
    ["the module js, imported anew", () => `${JS}js.process`],
    ["globalThis", () => `${JS}js.globalThis`],
    ["fetch", () => `${JS}js.fetch("http://127.0.0.1:${port()}/")`],
    ["Function", () => `${JS}F("return globalThis")()`],
    ["an async function's constructor", () => `${JS}F("return import('node:fs')")()`],
    ["a constructor's constructor", () => `${JS}pyodide_js.constructor.constructor("return process")()`],
    [
      "an error's constructor",
      () =>
        `${JS}try:\n    pyodide_js.FS.readFile("/none")\nexcept Exception as e:\n    e.js_error.constructor.constructor("return process")()`,
    ],
    ["loadScript", () => `${JS}await api.loadScript("node:fs")`],
    ["loadBinaryFile", () => `${JS}await api.loadBinaryFile("/etc/passwd")`],
    [
      "NODEFS",
      () => `${JS}pyodide_js.FS.mount(pyodide_js.FS.filesystems.NODEFS, {"root": "/"}, "/mnt/data")`,
    ],
    ["mountNodeFS", () => `${JS}pyodide_js.mountNodeFS("/mnt/data", "/")`],
    ["micropip", () => "import micropip"],
    ["loadPackage", () => `${JS}await pyodide_js.loadPackage("numpy")`],
    ["process.binding", () => `${JS}js.process.binding("fs")`],
    ["require", () => `${JS}api.config.jsglobals.require("fs")`],
    ["the realm's global object", () => `${JS}api.config.jsglobals.constructor`],
    ["ctypes and a library of the host", () => 'import ctypes; ctypes.CDLL("libc.so.6")'],
    ["a wheel of one's own making", () => 'import sys; sys.path.insert(0, "/etc"); import passwd'],
  ])("%s", async (_, code) => {
    const { text, isError } = await run(code());
    expect([text, isError]).toEqual([text, true]);
    expect(text).toMatch(/Error/);
    expect(text).not.toMatch(/restarted|timed out/);
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain("root:");
  });

  test("nothing has reached the host", async () => {
    expect(connections).toBe(0);
    expect(readdirSync(folder)).not.toContain("written");
    expect(existsSync("x")).toBe(false);
    expect((await run("import os; sorted(os.environ)")).text).not.toMatch(/SECRET|NODE|VITEST|npm/i);
    expect((await run("1 + 1")).text).toBe("2");
  });

  test("the attempts above get as far as Pyodide's own objects", async () => {
    expect((await run(`${JS}F, api.config`)).text).toMatch(/^\(function AsyncFunction/);
  });

  test.runIf(process.versions["deno"] === undefined && process.versions["bun"] === undefined)(
    "whoever broke out of Python and its realm would be in a process without rights",
    () => {
      const script = join(folder, "rights.mjs");
      writeFileSync(
        script,
        `import { readFileSync, writeFileSync } from "node:fs";
        import { spawnSync } from "node:child_process";
        import { Worker } from "node:worker_threads";
        const attempts = {
          read: () => readFileSync("/etc/passwd"),
          write: () => writeFileSync(${JSON.stringify(join(folder, "written"))}, "x"),
          spawn: () => { const { error } = spawnSync("ls"); if (error) throw error; },
          worker: () => new Worker("1", { eval: true }),
          addon: () => process.dlopen({ exports: {} }, "/x.node"),
          eval: () => (0, eval)("1"),
        };
        const done = Object.keys(attempts).filter((name) => { try { attempts[name](); return true; } catch { return false; } });
        console.log(JSON.stringify({ done, env: Object.keys(process.env) }));`,
      );
      const output = execFileSync(process.execPath, sandboxArguments(pathToFileURL(script)), { env: {} });
      expect(JSON.parse(output.toString())).toEqual({ done: [], env: [] });
    },
  );
});

describe("limits", () => {
  test.each([
    ["an endless loop", "while True: pass"],
    ["sleep", "import time; time.sleep(1e9)"],
    ["a pattern that backtracks", 'import re; re.match(r"(a+)+$", "a" * 40 + "b")'],
    ["a large power", "10 ** 10 ** 10"],
    ["output without end", 'while True: print("x" * 10**6)'],
  ])("of time: %s", async (_, code) => {
    await run("kept = 7");
    const started = performance.now();
    const { text, isError } = await run(code);
    expect(isError).toBe(true);
    expect(text).toMatch(/\[ERROR\] Execution timed out after 2\.5 seconds\. Variables are kept\.$/);
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(text.length).toBeLessThan(4000);
    expect(await run("kept")).toEqual({ text: "7" });
  });

  test.each([
    ["a list", "[0] * 10**9"],
    ["bytes", "bytearray(2**31 - 1)"],
    ["text", '"a" * 10**9'],
    ["growth", "l = []\nwhile True: l.append(bytearray(10**7))"],
    ["recursion", "def f(): return f()\nf()"],
    ["files", 'for i in range(100): open(f"/tmp/{i}", "wb").write(bytes(10**7))'],
    ["a sparse file", 'open("/tmp/sparse", "wb").truncate(10**11)'],
  ])("of memory: %s", async (_, code) => {
    const { text, isError } = await run(code);
    expect(isError).toBe(true);
    expect(text).toMatch(/(MemoryError|RecursionError[^\n]*|No space left on device)$/);
    expect(
      (await run("l = None\nimport os\nfor n in os.listdir('/tmp'): os.unlink('/tmp/' + n)")).isError,
    ).toBeUndefined();
  });

  test("of output, telling how much is missing", async () => {
    const { text } = await run('print("x" * 5000)\n1 / 0');
    expect(text).toMatch(/^x{2000}\n\[… 3001 more characters were cut\]\nTraceback[\s\S]*ZeroDivisionError/);
    expect((await run('"y" * 10**7')).text).toMatch(/\[… 9998003 more characters were cut\]$/);
  });

  test("what a cell breaks in Python is its own loss, not the next cell's", async () => {
    await run("import os, sys, builtins; sys.stdout = None; os.close(1); print = None; builtins.repr = None");
    expect((await run("del print; print('still here')")).text).toBe("still here");
  });

  test("an end by Python itself is told, and the next call works", async () => {
    const { text, isError } = await run("print('before'); import os; os._exit(3)");
    expect(isError).toBe(true);
    expect(text).toMatch(
      /^before\n\[ERROR\] Python ended .*Python was restarted: all variables and files are lost\.$/,
    );
    expect(await run("'kept' in globals()")).toEqual({ text: "False" });
  });

  test("an abort ends a call at once, and the next one is told of the loss", async () => {
    const controller = new AbortController();
    const pending = run("while True: pass", python, controller.signal);
    setTimeout(() => controller.abort(new Error("enough")), 200);
    await expect(pending).rejects.toThrow("enough");
    expect((await run("2 + 2")).text).toMatch(/^\[NOTE\] Python was restarted: .*lost\.\n4$/);
  });

  test("who doesn't listen to the deadline is ended", async () => {
    const stubborn = "while True:\n    try:\n        while True: pass\n    except BaseException: print('no')";
    const { text, isError } = await run(stubborn);
    expect(isError).toBe(true);
    expect(text).toMatch(
      /^no\n(no\n)*\[ERROR\] Execution timed out after 2\.5 seconds\. Python was restarted/,
    );
  });

  test("after its end the tool says so", async () => {
    const tool = pythonTool();
    tool.close();
    expect(await run("1", tool)).toEqual({ text: "[ERROR] Python is closed", isError: true });
    expect(() => pythonTool({ timeoutSeconds: 0 })).toThrow(/timeoutSeconds is out of range/);
    expect(() => pythonTool({ memoryBytes: 1 })).toThrow(/memoryBytes is out of range/);
  });
});

describe("what is taken for code", () => {
  test.each([
    ["print(1)", "print(1)"],
    ["```python\nprint(1)\n```", "print(1)"],
    ["\n```\nx\ny\n```\n", "x\ny"],
    ['{"code": "print(1)"}', "print(1)"],
    ['{"script": "a\\nb"}', "a\nb"],
    ['{"code": 1}', '{"code": 1}'],
    ['{"code": "a", "b": "c"}', '{"code": "a", "b": "c"}'],
    ['{"a": "b"}', '{"a": "b"}'],
    ['"""\n```\nx\n```\n"""', '"""\n```\nx\n```\n"""'],
    ["```python\na\n```\ntext\n```python\nb\n```", "```python\na\n```\ntext\n```python\nb\n```"],
  ])("%j", (content, code) => {
    expect(codeOf(content)).toBe(code);
  });
});

test("a folder with a lock file gives what an import needs, dependencies first and once", () => {
  const lock = JSON.stringify({
    packages: {
      numpy: { file_name: "numpy-1.whl", imports: ["numpy"], depends: [] },
      pillow: { file_name: "pillow-1.whl", imports: ["PIL"], depends: [] },
      matplotlib: {
        file_name: "m-1.whl",
        imports: ["matplotlib", "pylab"],
        depends: ["numpy", "pillow", "matplotlib"],
      },
      evil: { file_name: "../evil.whl", imports: ["evil"] },
    },
  });
  const index = indexPackages(["numpy-1.whl", "pillow-1.whl", "m-1.whl", "other.txt"], lock);
  expect(index.filesFor(["evil", "constructor", "none"])).toEqual([]);
  expect(index.filesFor(["PIL"])).toEqual(["pillow-1.whl"]);
  expect(index.filesFor(["matplotlib"])).toEqual(["numpy-1.whl", "m-1.whl"]);
  expect(index.filesFor(["matplotlib"])).toEqual([]);
  expect(indexPackages(["b.whl", "a.whl"], undefined).filesFor(["x"])).toEqual(["a.whl", "b.whl"]);
});

test("the cap on WebAssembly's memory is the engine's own", () => {
  // (module (memory (export "m") 1 65536))
  const bytes = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 5, 6, 1, 1, 1, 128, 128, 4, 7, 5, 1, 1, 109, 2, 0);
  const exports = new WebAssembly.Instance(new WebAssembly.Module(limitMemory(bytes, 3))).exports;
  const memory = exports["m"] as WebAssembly.Memory;
  expect(memory.grow(2)).toBe(1);
  expect(() => memory.grow(1)).toThrow(RangeError);
  expect(() => limitMemory(bytes.subarray(0, 8), 3)).toThrow(/memory section/);
  expect(() => limitMemory(bytes, 0)).toThrow(/at most 0 pages/);
});
