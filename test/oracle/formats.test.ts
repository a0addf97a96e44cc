import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { MemoryFile } from "../../src/checkpoint/file.ts";
import type { HostTensor } from "../../src/engine/ops.ts";
import { CheckpointError } from "../../src/errors.ts";
import { compare } from "../../src/oracle/compare.ts";
import { readAnyTrace } from "../../src/oracle/formats/index.ts";
import { readLlamaText } from "../../src/oracle/formats/llama-text.ts";
import { readNpy } from "../../src/oracle/formats/npy.ts";
import { readNpz } from "../../src/oracle/formats/npz.ts";

// written by numpy and by llama.cpp's rules: scripts/golden/foreign.py
const foreign = (path: string): string => fileURLToPath(new URL(`foreign/${path}`, import.meta.url));
interface Expected {
  arrays: Record<string, number[]>;
  llama: Record<string, { shape: number[]; data: number[] }>;
}
const expected = JSON.parse(await readFile(foreign("expected.json"), "utf8")) as Expected;

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "formats-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function memory(path: string): Promise<MemoryFile> {
  return new MemoryFile(path, await readFile(foreign(path)));
}

test("arrays of every type, byte order and memory order hold what numpy put there", async () => {
  const names = (await readdir(foreign("npy"))).map((file) => file.replace(".npy", ""));
  expect(names).toHaveLength(31);
  for (const name of names) {
    const { shape, data } = await readNpy(await memory(`npy/${name}.npy`));
    expect(shape, name).toEqual(name === "scalar" ? [] : [2, 3, 4]);
    expect(Array.from(data), name).toEqual(expected.arrays[name]);
    expect(data instanceof Int32Array, name).toBe(name.startsWith("i"));
  }
});

test("pickles, records and damaged arrays are refused in one line", async () => {
  for (const file of ["object.npy", "record.npy"]) {
    await expect(readNpy(await memory(file))).rejects.toThrow(/no such type|can't read the \.npy header/);
  }
  const good = await readFile(foreign("npy/f4-little-C.npy"));
  for (let length = 0; length < good.length; length++) {
    await expect(readNpy(new MemoryFile("cut", good.subarray(0, length)))).rejects.toBeInstanceOf(
      CheckpointError,
    );
  }
  for (let at = 0; at < 128; at++) {
    for (const byte of [0, 0x28, 0x39, 0xff]) {
      const bad = Uint8Array.from(good);
      bad[at] = byte;
      // a flipped byte may leave a valid array; it must never be another kind of error
      await readNpy(new MemoryFile("bad", bad)).catch((error) =>
        expect(error).toBeInstanceOf(CheckpointError),
      );
    }
  }
});

test("archives are read stored and deflated, and every damage is noticed", async () => {
  for (const name of ["stored.npz", "deflated.npz"]) {
    const arrays = await readNpz(await memory(name), 1e6);
    expect(Array.from(arrays.get("layers.0.attn.norm")!.data)).toEqual(expected.arrays["npz"]);
    expect(Array.from(arrays.get("ids")!.data)).toEqual([5, 6, 7]);
    await expect(readNpz(await memory(name), 300)).rejects.toThrow(/too large/);
    const good = await readFile(foreign(name));
    for (let length = 0; length < good.length; length++) {
      await expect(readNpz(new MemoryFile("cut", good.subarray(0, length)), 1e6)).rejects.toBeInstanceOf(
        CheckpointError,
      );
    }
    for (let at = 0; at < good.length; at++) {
      const bad = Uint8Array.from(good);
      bad[at]! ^= 0x41;
      await readNpz(new MemoryFile("bad", bad), 1e6).catch((error) =>
        expect(error).toBeInstanceOf(CheckpointError),
      );
    }
  }
});

test.each(["llama-new.txt", "llama-old.txt"])(
  "what llama.cpp prints in %s lands at its points and places",
  async (file) => {
    const { sampled, unknown } = await readLlamaText(foreign(file));
    expect(unknown).toEqual([]);
    expect([...sampled.keys()].sort()).toEqual(
      [...Object.keys(expected.llama), "layers.0.attn.out", "layers.1.attn.out"].sort(),
    );
    for (const [point, { data }] of Object.entries(expected.llama)) {
      const { at, values, firstToken } = sampled.get(point)!;
      expect(at.length, point).toBeGreaterThan(0);
      for (const [i, place] of at.entries())
        expect(values[i], `${point} at ${place}`).toBeCloseTo(data[place]!, 4);
      const late = /^layers\.1\.(moe|attn\.residual)|^logits/.test(point);
      expect(firstToken, point).toBe(late ? 8 : 0);
    }
  },
);

test("printed values are compared with a whole trace, and their sum speaks for those between", async () => {
  const { sampled } = await readLlamaText(foreign("llama-new.txt"));
  const whole = new Map<string, HostTensor>(
    Object.entries(expected.llama).map(([point, { shape, data }]) => [
      point,
      { shape, data: point.endsWith("ids") ? Int32Array.from(data) : Float32Array.from(data) },
    ]),
  );
  const at = (floor: number) => compare(new Map(), whole, floor, { sampled });
  expect(at(1e-5).firstDivergence).toBeUndefined();
  expect(at(1e-5).points).toHaveLength(Object.keys(expected.llama).length);
  const norm = whole.get("layers.1.attn.norm")!.data;
  norm[4 * 8 + 4]! += 20; // token 4, place 4: not printed
  expect(at(1e-3).firstDivergence?.point).toBe("layers.1.attn.norm");
  norm[4 * 8 + 4]! -= 20;
  norm[2 * 8 + 7]! += 1;
  expect(at(1e-3).firstDivergence).toMatchObject({ point: "layers.1.attn.norm", firstToken: 2 });
});

test("damaged text is an error with its line, or ends early", async () => {
  const text = await readFile(foreign("llama-new.txt"), "utf8");
  const file = join(folder, "bad.txt");
  await writeFile(file, text.replace("{8, 9, 1, 1}, }) = {8, 9, 1, 1}", "{8, 9, 1, 1}, }) = {2, 9, 1, 1}"));
  await expect(readLlamaText(file)).rejects.toThrow(/the values don't fit the shape \(bad.txt, line \d+\)/);
  await writeFile(
    file,
    "common_debug_cb_eval: x = (f32) ADD(a{1, 1, 1, 1}, }) = {999999999999, 9999999, 99999, 1}\n",
  );
  await expect(readLlamaText(file)).rejects.toThrow(/impossible shape/);
  await writeFile(file, text.slice(0, 5000));
  expect((await readLlamaText(file)).sampled.size).toBeGreaterThan(0);
});

test("the kind of a trace is found by its contents", async () => {
  expect((await readAnyTrace(foreign("stored.npz"))).format).toBe("npz");
  expect((await readAnyTrace(foreign("llama-old.txt"))).format).toBe("llama.cpp text");
  const nested = join(folder, "dump", "layers.0");
  await mkdir(nested, { recursive: true });
  await writeFile(join(nested, "attn.norm.npy"), await readFile(foreign("npy/f8-big-F.npy")));
  const dump = await readAnyTrace(join(folder, "dump"));
  expect(dump.format).toBe("npy");
  expect([...dump.trace.keys()]).toEqual(["layers.0.attn.norm"]);
  await expect(readAnyTrace(foreign("npy/f4-little-C.npy"))).rejects.toThrow(/one array is no trace/);
  await expect(readAnyTrace(join(folder, "missing"))).rejects.toThrow(/can't open the trace/);
  await expect(readAnyTrace(folder)).resolves.toMatchObject({ format: "npy" });
  await expect(readAnyTrace(foreign("expected.json"))).rejects.toBeInstanceOf(CheckpointError);
});
