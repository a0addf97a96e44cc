import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { openCheckpointFiles } from "../../src/checkpoint/open.ts";
import { GptOssError } from "../../src/errors.ts";
import { CountingFile, type Files, listWeights, openFiles, synthetic } from "./files.ts";

/**
 * Damages valid checkpoints at random: each either opens, or is refused in one line by an error of ours. Nothing hangs,
 * and no length in a file makes a reader ask for more bytes than the file has.
 */

const RUNS = { seed: 20251124, numRuns: 400 };

const FORMATS = ["hf", "sharded", "original", "gguf"] as const;
const checkpoints = new Map<string, Files>();

/** Bytes at the start of a file that hold its header, or, of JSON, all. */
const headerLengths = new Map<Uint8Array, number>();

beforeAll(async () => {
  checkpoints.set("hf", await synthetic("hf"));
  checkpoints.set("sharded", await synthetic("hf", { maxShardBytes: 300_000 }));
  checkpoints.set("original", await synthetic("original"));
  checkpoints.set("gguf", await synthetic("gguf"));
  for (const files of checkpoints.values()) {
    const { tensors } = await openFiles(files);
    for (const [name, bytes] of files) {
      const offsets = [...tensors.values()]
        .filter(({ file }) => file.name === name)
        .map(({ offset }) => offset);
      headerLengths.set(bytes, Math.min(bytes.length, ...offsets));
    }
  }
});

/** One way to damage a file, at a place given as a part of its header. */
type Damage =
  | { readonly kind: "byte"; readonly at: number; readonly value: number }
  | { readonly kind: "bit"; readonly at: number; readonly bit: number }
  | { readonly kind: "length"; readonly at: number; readonly value: bigint; readonly bytes: 4 | 8 }
  | { readonly kind: "truncate"; readonly at: number }
  | { readonly kind: "truncateData"; readonly at: number }
  | { readonly kind: "insert"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: "remove"; readonly at: number; readonly count: number }
  | { readonly kind: "copy"; readonly at: number; readonly from: number; readonly count: number }
  | { readonly kind: "number"; readonly at: number; readonly text: string };

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const evilNumbers = [
  ...[0n, 1n, 7n, 31n, 33n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 100_000_000n, 100_000_001n],
  ...[
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 60n,
    2n ** 61n,
    2n ** 63n - 1n,
    2n ** 63n,
    2n ** 64n - 32n,
    2n ** 64n - 1n,
  ],
];
const evilTexts = [
  ...[
    "0",
    "-1",
    "1.5",
    "1e9",
    "1e999",
    "9007199254740993",
    "18446744073709551616",
    "null",
    "true",
    '""',
    "[]",
    "{}",
  ],
  ...["[[", '{"a":', '"\\u0000"', '"__proto__"', "NaN", "00", ",", "]", "}", '"'],
];

const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ kind: fc.constant("byte" as const), at: place, value: fc.nat(255) }),
  fc.record({ kind: fc.constant("bit" as const), at: place, bit: fc.nat(7) }),
  fc.record({
    kind: fc.constant("length" as const),
    at: place,
    value: fc.oneof(fc.constantFrom(...evilNumbers), fc.bigInt(0n, 2n ** 64n - 1n)),
    bytes: fc.constantFrom(4 as const, 8 as const),
  }),
  fc.record({ kind: fc.constant("truncate" as const), at: place }),
  fc.record({ kind: fc.constant("truncateData" as const), at: place }),
  fc.record({
    kind: fc.constant("insert" as const),
    at: place,
    bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  }),
  fc.record({ kind: fc.constant("remove" as const), at: place, count: fc.integer({ min: 1, max: 40 }) }),
  fc.record({
    kind: fc.constant("copy" as const),
    at: place,
    from: place,
    count: fc.integer({ min: 1, max: 200 }),
  }),
  fc.record({ kind: fc.constant("number" as const), at: place, text: fc.constantFrom(...evilTexts) }),
);

/** Where to strike; of a GGUF file not among the 2048 tokens between metadata and tensors, which would take most blows. */
function position(name: string, part: number, header: number): number {
  if (!name.endsWith(".gguf") || header < 8000) return Math.floor(part * header);
  return Math.floor(part < 0.5 ? 2 * part * 1500 : header - 2 * (1 - part) * 4000);
}

/** @param intact length of the header before any damage */
function apply(name: string, original: Uint8Array, change: Damage, intact: number): Uint8Array {
  const header = Math.min(intact, original.length);
  const at = position(name, change.at, header);
  const splice = (start: number, removed: number, added: Uint8Array): Uint8Array =>
    Uint8Array.from(Buffer.concat([original.subarray(0, start), added, original.subarray(start + removed)]));
  const bytes = original.slice();
  switch (change.kind) {
    case "byte":
      bytes[at] = change.value;
      return bytes;
    case "bit":
      bytes[at]! ^= 1 << change.bit;
      return bytes;
    case "length": {
      // half of them at the very start, where a file says how long its header is, or how much it holds
      const spot = at % 2 === 0 ? (at >> 1) % 24 : at;
      const little = new Uint8Array(BigUint64Array.of(change.value).buffer).subarray(0, change.bytes);
      bytes.set(little.subarray(0, Math.max(0, bytes.length - spot)), Math.min(spot, bytes.length));
      return bytes;
    }
    case "truncate":
      return bytes.subarray(0, at);
    case "truncateData":
      return bytes.subarray(0, Math.floor(change.at * bytes.length));
    case "insert":
      return splice(at, 0, change.bytes);
    case "remove":
      return splice(at, change.count, new Uint8Array(0));
    case "copy": {
      const from = Math.floor(change.from * header);
      bytes.set(original.subarray(from, Math.min(from + change.count, header, from + bytes.length - at)), at);
      return bytes;
    }
    case "number": {
      // the first number or word from there on
      const text = new TextDecoder("latin1").decode(original.subarray(at, header));
      const found = /-?\d+(\.\d+)?|"[^"]*"/.exec(text);
      if (found === null) return bytes;
      return withHeaderLength(
        name,
        splice(at + found.index, found[0].length, new TextEncoder().encode(change.text)),
        bytes,
      );
    }
  }
}

/** A safetensors file whose header changed in length says so: else that alone would be found. */
function withHeaderLength(name: string, bytes: Uint8Array, original: Uint8Array): Uint8Array {
  const sameLength = bytes.length === original.length;
  if (!name.endsWith(".safetensors") || sameLength || bytes.length < 8) return bytes;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setBigUint64(
    0,
    BigInt.asUintN(64, view.getBigUint64(0, true) + BigInt(bytes.length - original.length)),
    true,
  );
  return bytes;
}

/** Opens and reads a little of every weight. True if all went well, false if it was refused as it should be. */
async function survives(files: readonly CountingFile[]): Promise<boolean> {
  try {
    const checkpoint = await openCheckpointFiles(files);
    for (const weight of await listWeights(checkpoint.weights)) {
      const { data } = await weight.readRows(weight.matrices - 1, weight.rows - 1, 1);
      if (data.length > weight.cols * 4) throw new Error(`${data.length} bytes of ${weight.name}`);
    }
    await checkpoint.gguf?.strings("tokenizer.ggml.tokens");
    return true;
  } catch (error) {
    if (!(error instanceof GptOssError)) throw error;
    expect(error.message).toMatch(/^[^\n\r]{10,2000}$/);
    return false;
  }
}

describe.each(FORMATS)("a damaged checkpoint (%s)", (format) => {
  it("opens, or is refused in one line, and never makes a reader ask for more than there is", async () => {
    const files = [...checkpoints.get(format)!];
    let opened = 0;
    const property = fc.asyncProperty(
      fc.nat(files.length - 1),
      fc.array(damage, { minLength: 1, maxLength: 3 }),
      async (which, changes) => {
        const damaged = files.map(([name, bytes], i) => {
          if (i !== which) return new CountingFile(name, bytes);
          const header = headerLengths.get(bytes)!;
          return new CountingFile(
            name,
            changes.reduce((damaged, change) => apply(name, damaged, change, header), bytes),
          );
        });
        if (await survives(damaged)) opened++;
        for (const file of damaged) {
          expect(file.largestRead).toBeLessThanOrEqual(file.size);
          expect(file.bytesRead).toBeLessThanOrEqual(3 * file.size + 1000);
        }
      },
    );
    await fc.assert(property, RUNS);
    // some damage does no harm, such as that to a weight or to white space; most is noticed
    expect(opened).toBeLessThan(RUNS.numRuns * 0.7);
  });
});

describe("random bytes", () => {
  it.each(["model.safetensors", "model.safetensors.index.json", "config.json"])(
    "for %s are refused",
    async (name) => {
      const files = checkpoints.get("sharded")!;
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), async (bytes) => {
          const all = [...files]
            .filter(([other]) => other !== name)
            .map(([other, content]) => new CountingFile(other, content));
          const file = new CountingFile(name, bytes);
          const harmless = name === "model.safetensors"; // the index doesn't name it
          expect(await survives([...all, file])).toBe(harmless);
        }),
        { ...RUNS, numRuns: 50 },
      );
    },
  );
  it("behind the magic of GGUF are refused", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 2000 }), async (bytes) => {
        const start = Uint8Array.of(
          0x47,
          0x47,
          0x55,
          0x46,
          3,
          0,
          0,
          0,
          1,
          0,
          0,
          0,
          0,
          0,
          0,
          0,
          9,
          0,
          0,
          0,
          0,
          0,
          0,
          0,
        );
        const file = new CountingFile("m.gguf", Uint8Array.from([...start, ...bytes]));
        expect(await survives([file])).toBe(false);
        expect(file.bytesRead).toBeLessThanOrEqual(2 * file.size);
      }),
      { ...RUNS, numRuns: 200 },
    );
  });
});
