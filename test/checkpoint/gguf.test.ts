import { describe, expect, it } from "vitest";
import { MemoryFile } from "../../src/checkpoint/file.ts";
import { readGguf } from "../../src/checkpoint/gguf.ts";
import { CheckpointError } from "../../src/errors.ts";
import { CountingFile, rejection } from "./files.ts";
import { array, f32, gguf, info, join, pair, TYPE, text, u32, u64 } from "./gguf-bytes.ts";

const read = (bytes: Uint8Array): ReturnType<typeof readGguf> => readGguf(new MemoryFile("m.gguf", bytes));

describe("a GGUF header", () => {
  it("lists metadata of all types", async () => {
    const { metadata } = await read(
      gguf({
        pairs: [
          pair("u8", TYPE.u8, Uint8Array.of(200)),
          pair("i8", TYPE.i8, Uint8Array.of(200)),
          pair("u16", TYPE.u16, Uint8Array.of(0xff, 0xff)),
          pair("i16", TYPE.i16, Uint8Array.of(0xff, 0xff)),
          pair("u32", TYPE.u32, u32(0xffffffff)),
          pair("i32", TYPE.i32, u32(0xffffffff)),
          pair("f32", TYPE.f32, f32(1.5)),
          pair("bool", TYPE.bool, Uint8Array.of(1)),
          pair("string", TYPE.string, text("héllo")),
          pair("u64", TYPE.u64, u64(2n ** 63n)),
          pair("i64", TYPE.i64, u64(2n ** 64n - 5n)),
          pair("f64", TYPE.f64, new Uint8Array(Float64Array.of(Math.PI).buffer)),
          pair("strings", TYPE.array, array(TYPE.string, 3, join(text("a"), text(""), text("é")))),
          pair("i32s", TYPE.array, array(TYPE.i32, 2, join(u32(7), u32(0xffffffff)))),
          pair("bools", TYPE.array, array(TYPE.bool, 2, Uint8Array.of(0, 1))),
          pair("f64s", TYPE.array, array(TYPE.f64, 2, new Uint8Array(16))),
        ],
      }),
    );
    const scalars = [...metadata.values.values()].flatMap((item) =>
      item.type === "array" ? [] : [item.value],
    );
    expect(scalars).toEqual([
      200,
      -56,
      65535,
      -1,
      4294967295,
      -1,
      1.5,
      true,
      "héllo",
      2n ** 63n,
      -5,
      Math.PI,
    ]);
    expect(await metadata.strings("strings")).toEqual(["a", "", "é"]);
    expect([...(await metadata.int32s("i32s"))!]).toEqual([7, -1]);
    expect(metadata.string("string")).toBe("héllo");
    expect(metadata.integer("u32")).toBe(4294967295);
    expect(metadata.string("missing")).toBeUndefined();
    expect(metadata.integer("missing")).toBeUndefined();
    expect(await metadata.strings("missing")).toBeUndefined();
    expect(() => metadata.string("u32")).toThrow(/u32.*expected string, found u32/);
    expect(() => metadata.integer("f32")).toThrow(/expected integer, found f32/);
    expect(() => metadata.integer("u64")).toThrow(/expected integer/);
    await expect(metadata.strings("i32s")).rejects.toThrow(/found array of i32/);
    await expect(metadata.int32s("string")).rejects.toThrow(/found string/);
  });
  it.each([2, 3])("lists tensors with the outermost dimension first, in version %i", async (version) => {
    const bytes = gguf({
      version,
      infos: [info("a", [64, 3, 2], 39, 0), info("b", [5], 0, 224)],
      dataBytes: 224 + 20,
    });
    const { tensors } = await read(bytes);
    const start = bytes.length - 244;
    expect(start % 32).toBe(0);
    expect(tensors.get("a")).toMatchObject({ dtype: "MXFP4", shape: [2, 3, 64], offset: start, bytes: 204 });
    expect(tensors.get("b")).toMatchObject({ dtype: "F32", shape: [5], offset: start + 224, bytes: 20 });
  });
  it("may ask for another alignment", async () => {
    const pairs = [pair("general.alignment", TYPE.u32, u32(64))];
    const bytes = gguf({ pairs, infos: [info("a", [4], 0, 64)], alignment: 64, dataBytes: 80 });
    expect((await read(bytes)).tensors.get("a")!.offset % 64).toBe(0);
  });
  it("may have types that this library doesn't compute with", async () => {
    const { tensors } = await read(gguf({ infos: [info("a", [256, 2], 12, 0)], dataBytes: 288 }));
    expect(tensors.get("a")).toMatchObject({ dtype: "Q4_K", bytes: 288 });
  });
  it("leaves long arrays in the file", async () => {
    const strings = join(...Array.from({ length: 50_000 }, (_, i) => text(`token number ${i}`)));
    const file = new CountingFile(
      "m.gguf",
      gguf({ pairs: [pair("t", TYPE.array, array(TYPE.string, 50_000, strings))] }),
    );
    const { metadata } = await readGguf(file);
    expect(metadata.values.get("t")).toMatchObject({ count: 50_000, elementType: "string" });
    expect(file.largestRead).toBeLessThanOrEqual(2 ** 20);
    expect((await metadata.strings("t"))![49_999]).toBe("token number 49999");
  });

  const one = (type: number, value: Uint8Array): Uint8Array => gguf({ pairs: [pair("key", type, value)] });
  const tensor = (
    dimensions: (number | bigint)[],
    type: number,
    offset: number | bigint,
    dataBytes = 64,
  ): Uint8Array => gguf({ infos: [info("a", dimensions, type, offset)], dataBytes });
  const aligned = (type: number, value: Uint8Array): Uint8Array =>
    gguf({ pairs: [pair("general.alignment", type, value)] });
  it.each<[string, Uint8Array, RegExp]>([
    ["an empty file", new Uint8Array(0), /beyond the end.*at most 0 bytes, found 24/],
    ["23 bytes", gguf({}).subarray(0, 23), /beyond the end/],
    ["another magic", gguf({ magic: "GGML" }), /expected GGUF, found GGML/],
    ["version 1", gguf({ version: 1 }), /expected 2 or 3, found 1/],
    ["version 4", gguf({ version: 4 }), /expected 2 or 3, found 4/],
    ["version 0", gguf({ version: 0 }), /expected 2 or 3, found 0/],
    ["big-endian numbers", gguf({ version: 0x03000000 }), /big-endian/],
    ["2^64 − 1 tensors", gguf({ tensorCount: 2n ** 64n - 1n }), /number of tensors is too large/],
    ["2^63 pairs", gguf({ pairCount: 2n ** 63n }), /number of metadata pairs is too large/],
    ["more tensors than entries", gguf({ tensorCount: 100_000 }), /beyond the end|empty|dimensions/],
    ["more pairs than there are", gguf({ pairCount: 60_000 }), /beyond the end|empty/],
    ["an empty key", gguf({ pairs: [pair("", TYPE.u8, Uint8Array.of(1))] }), /key is empty/],
    [
      "a key twice",
      gguf({ pairs: [1, 2].map((n) => pair("k", TYPE.u8, Uint8Array.of(n))) }),
      /key comes twice.*found k/,
    ],
    ["a key of 1025 bytes", gguf({ pairs: [pair("k".repeat(1025), 0, Uint8Array.of(1))] }), /too large/],
    [
      "a key of 2^63 bytes",
      gguf({ pairCount: 1, pairs: [text("k", 2n ** 63n)] }),
      /length of a key is too large/,
    ],
    [
      "a key longer than the file",
      gguf({ pairCount: 1, pairs: [text("k", 1_000)] }),
      /a key reaches beyond the end/,
    ],
    ["a key of invalid UTF-8", gguf({ pairCount: 1, pairs: [join(u64(1), Uint8Array.of(0xff))] }), /UTF-8/],
    ["an unknown value type", one(13, u32(0)), /unknown type.*expected 0 to 12, found 13/],
    ["a boolean of 2", one(TYPE.bool, Uint8Array.of(2)), /not a boolean.*expected 0 or 1, found 2/],
    [
      "a boolean of 2 in an array",
      one(TYPE.array, array(TYPE.bool, 2, Uint8Array.of(0, 2))),
      /not a boolean/,
    ],
    ["a string of 2^64 − 1 bytes", one(TYPE.string, text("x", 2n ** 64n - 1n)), /length of key is too large/],
    [
      "a string of 10 MB in a small file",
      one(TYPE.string, text("x", 10_000_000)),
      /key reaches beyond the end/,
    ],
    ["a string of invalid UTF-8", one(TYPE.string, join(u64(2), Uint8Array.of(0xc3, 0x28))), /UTF-8/],
    ["an array of 2^63 numbers", one(TYPE.array, array(TYPE.u8, 2n ** 63n, u32(0))), /too large/],
    [
      "an array of 2^61 doubles, whose length wraps",
      one(TYPE.array, array(TYPE.f64, 2n ** 61n, u32(0))),
      /too large/,
    ],
    [
      "an array longer than the file",
      one(TYPE.array, array(TYPE.u64, 16_000_000, u64(0))),
      /key reaches beyond the end/,
    ],
    [
      "an array of booleans longer than the file",
      one(TYPE.array, array(TYPE.bool, 1_000_000, u64(0))),
      /beyond the end/,
    ],
    [
      "an array of strings longer than the file",
      one(TYPE.array, array(TYPE.string, 1_000_000, u64(0))),
      /beyond the end/,
    ],
    [
      "a string in an array of 2^63 bytes",
      one(TYPE.array, array(TYPE.string, 1, u64(2n ** 63n))),
      /length of key\[0\] is too large/,
    ],
    [
      "an array of arrays",
      one(TYPE.array, array(TYPE.array, 1, array(TYPE.u8, 1, u32(0)))),
      /array of arrays/,
    ],
    ["an array of an unknown type", one(TYPE.array, array(99, 1, u32(0))), /unknown type/],
    ["an alignment of 0", aligned(TYPE.u32, u32(0)), /alignment is impossible.*power of two/],
    ["an alignment of 4", aligned(TYPE.u32, u32(4)), /alignment is impossible/],
    ["an alignment of 48", aligned(TYPE.u32, u32(48)), /alignment is impossible/],
    ["an alignment of 2^31", aligned(TYPE.u32, u32(2 ** 31)), /alignment is impossible/],
    ["an alignment of another type", aligned(TYPE.u64, u64(32)), /alignment is impossible.*type u32/],
    [
      "an alignment that is an array",
      aligned(TYPE.array, array(TYPE.u32, 1, u32(32))),
      /alignment is impossible/,
    ],
    [
      "a tensor name of 65 bytes",
      gguf({ infos: [info("n".repeat(65), [4], 0, 0)], dataBytes: 16 }),
      /tensor's name is too large/,
    ],
    [
      "a tensor twice",
      gguf({ infos: [info("a", [4], 0, 0), info("a", [4], 0, 32)], dataBytes: 64 }),
      /same name.*found a/,
    ],
    ["no dimensions", tensor([], 0, 0), /number of dimensions.*expected 1 to 4, found 0/],
    ["five dimensions", tensor([1, 1, 1, 1, 1], 0, 0), /expected 1 to 4, found 5/],
    [
      "2^32 − 1 dimensions",
      gguf({ tensorCount: 1, infos: [join(text("a"), u32(0xffffffff))] }),
      /expected 1 to 4/,
    ],
    ["a dimension of 0", tensor([4, 0], 0, 0), /dimension of 0/],
    ["a dimension of −1", tensor([2n ** 64n - 1n], 0, 0), /dimension of a is too large/],
    [
      "dimensions whose product overflows",
      tensor([2 ** 8, 2 ** 8, 2 ** 8, 2 ** 8], 0, 0, 4096),
      /beyond the end/,
    ],
    ["dimensions whose product wraps to the right length", tensor([4n, 2n ** 62n], 0, 0), /too large/],
    ["a row that is no whole number of blocks", tensor([33], 39, 0), /.*multiple of 32 for MXFP4, found 33/],
    ["a row of 2880 in blocks of 256", tensor([2880], 12, 0, 4096), /multiple of 256 for Q4_K, found 2880/],
    ...[4, 5, 31, 32, 33, 36, 37, 38].map((type): [string, Uint8Array, RegExp] => [
      `type ${type}, which is gone`,
      tensor([32], type, 0),
      new RegExp(`unknown type .*found ${type}`),
    ]),
    ["a type that never was", tensor([32], 0xffffffff, 0), /unknown type/],
    ["an offset that is not aligned", tensor([4], 0, 16), /not aligned.*expected a multiple of 32, found 16/],
    ["an offset beyond the file", tensor([4], 0, 1024), /beyond the end of the file/],
    ["an offset of 2^64 − 32", tensor([4], 0, 2n ** 64n - 32n), /offset of a is too large/],
    ["an end beyond the file by one", tensor([17], 0, 0, 64), /beyond the end of the file/],
    [
      "overlapping tensors",
      gguf({ infos: [info("a", [16], 0, 0), info("b", [16], 0, 32)], dataBytes: 96 }),
      /overlap.*b/,
    ],
    [
      "two tensors at one place",
      gguf({ infos: [info("a", [4], 0, 0), info("b", [4], 0, 0)], dataBytes: 96 }),
      /overlap/,
    ],
  ])("is refused with %s", async (_, bytes, message) => {
    const file = new CountingFile("bad.gguf", bytes);
    const error = await rejection(readGguf(file));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^[^\n]*bad\.gguf[^\n]*$/);
    expect(file.bytesRead).toBeLessThanOrEqual(2 * bytes.length);
  });
  it("points to Ollama's early variant for type 4", async () => {
    expect((await rejection(read(tensor([32], 4, 0)))).message).toMatch(/Ollama/);
  });
});
