import { describe, expect, it } from "vitest";
import { MemoryFile } from "../../src/checkpoint/file.ts";
import { encodeSafetensorsHeader, readSafetensors } from "../../src/checkpoint/safetensors.ts";
import { CheckpointError } from "../../src/errors.ts";
import { CountingFile, rejection } from "./files.ts";

const UTF8 = new TextEncoder();

/** A file from the text or bytes of its header, and the number of bytes that follow. */
function build(header: string | Uint8Array, dataBytes = 0, length?: bigint): Uint8Array {
  const json = typeof header === "string" ? UTF8.encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const entry = (dtype: string, shape: string, offsets: string): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
const A = `"a":${entry("F32", "[2,3]", "[0,24]")}`;

describe("a safetensors header", () => {
  it("lists tensors and metadata, in any order, with white space anywhere", async () => {
    const header =
      ` {"b": ${entry("BF16", "[2]", "[24,28]")},\n"__metadata__":{"format":"pt"} ,\t${A} }  `.trimStart();
    const { tensors, metadata } = await readSafetensors(new MemoryFile("m.safetensors", build(header, 28)));
    expect([...metadata]).toEqual([["format", "pt"]]);
    expect([...tensors.keys()]).toEqual(["b", "a"]);
    const start = 8 + header.length;
    expect(tensors.get("a")).toMatchObject({ dtype: "F32", shape: [2, 3], offset: start, bytes: 24 });
    expect(tensors.get("b")).toMatchObject({ dtype: "BF16", shape: [2], offset: start + 24, bytes: 4 });
  });
  it("may have no tensors, scalars, and empty tensors", async () => {
    const read = async (header: string, bytes: number): Promise<number> =>
      (await readSafetensors(new MemoryFile("m", build(header, bytes)))).tensors.size;
    expect(await read("{}", 0)).toBe(0);
    expect(await read(`{"s":${entry("F32", "[]", "[0,4]")}}`, 4)).toBe(1);
    expect(await read(`{"e":${entry("F32", "[0,9007199254740991]", "[0,0]")},${A}}`, 24)).toBe(2);
  });
  it("may have names with escapes, and of Object.prototype", async () => {
    const names = ["__proto__", "constructor", "toString", '\\u00e9\\ud83d\\ude00\\n\\"\\\\\\/'];
    const header = `{${names.map((name, i) => `"${name}":${entry("U8", "[1]", `[${i},${i + 1}]`)}`).join(",")}}`;
    const { tensors } = await readSafetensors(new MemoryFile("m", build(header, 4)));
    expect([...tensors.keys()]).toEqual(["__proto__", "constructor", "toString", 'é😀\n"\\/']);
  });
  it("is read back as it was written", async () => {
    const list = [
      { name: "x", dtype: "F32", shape: [3, 5], bytes: 60 },
      { name: "y", dtype: "U8", shape: [7], bytes: 7 },
    ];
    const header = encodeSafetensorsHeader(list, { by: "us" });
    expect(header.length % 8).toBe(0);
    const bytes = new Uint8Array(header.length + 67);
    bytes.set(header);
    const { tensors, metadata } = await readSafetensors(new MemoryFile("m", bytes));
    expect(
      [...tensors.values()].map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape, bytes })),
    ).toEqual(list);
    expect(metadata.get("by")).toBe("us");
  });

  const a = (shape: string, offsets: string): string => `{"a":${entry("F32", shape, offsets)}}`;
  it.each<[string, Uint8Array, RegExp]>([
    ["an empty file", new Uint8Array(0), /at least 8 bytes, found 0/],
    ["seven bytes", new Uint8Array(7), /at least 8 bytes/],
    [
      "a length of 2^64 − 1",
      build("{}", 0, 2n ** 64n - 1n),
      /at most 100000000 bytes, found 18446744073709551615/,
    ],
    ["a length just over 100 MB", build("{}", 0, 100_000_001n), /at most 100000000 bytes, found 100000001/],
    ["a length of 100 MB in a small file", build("{}", 0, 100_000_000n), /longer than the file/],
    ["a length beyond the file by one", build("{}", 0, 3n), /longer than the file.*found 3/],
    ["a length of 0", build("", 0), /doesn't start with "{"/],
    ["a header that starts with a space", build(" {}", 0), /doesn't start with "{"/],
    ["an array for a header", build("[]", 0), /doesn't start with "{"/],
    ["a byte order mark", build("\ufeff{}", 0), /doesn't start with "{"/],
    [
      "UTF-8 that is invalid",
      build(Uint8Array.of(...UTF8.encode('{"'), 0xff, ...UTF8.encode('":{}}')), 0),
      /UTF-8/,
    ],
    [
      "an overlong slash",
      build(Uint8Array.of(...UTF8.encode('{"'), 0xc0, 0xaf, ...UTF8.encode('":{}}')), 0),
      /UTF-8/,
    ],
    ["half a surrogate pair", build(`{"\\ud800":${entry("U8", "[0]", "[0,0]")}}`, 0), /surrogate/],
    ["an unknown escape", build('{"\\x":{}}', 0), /escape/],
    ["a bad \\u", build('{"\\u12g4":{}}', 0), /escape/],
    ["a control character in a name", build('{"a\n":{}}', 0), /control character/],
    ["a header that ends early", build('{"a":', 0), /the end/],
    ["a name that doesn't end", build('{"a', 0), /doesn't end/],
    ["a name that ends in a backslash", build('{"a\\', 0), /doesn't end/],
    ["text behind the header", build("{} x", 0), /follows the end/],
    ["a zero byte behind the header", build("{}\0", 0), /follows the end/],
    ["a comma at the end", build(`{${A},}`, 24), /string/],
    ["a missing comma", build(`{${A} ${A}}`, 24), /"," or "}"/],
    ["a name without quotes", build("{a:1}", 0), /a string, found "a:1}"/],
    ["a tensor twice", build(`{${A},${A}}`, 24), /twice.*"a"/],
    [
      "a tensor twice, once in escapes",
      build(`{${A},"\\u0061":${entry("U8", "[0]", "[24,24]")}}`, 24),
      /twice/,
    ],
    ["a key of an entry twice", build('{"a":{"dtype":"U8","dtype":"F32"}}', 0), /twice.*dtype/],
    ["metadata twice", build('{"__metadata__":{},"__metadata__":{}}', 0), /twice/],
    ["a metadata key twice", build('{"__metadata__":{"a":"1","a":"2"}}', 0), /twice/],
    ["metadata that is no string", build('{"__metadata__":{"a":1}}', 0), /a string, found "1}}"/],
    ["metadata that is a list", build('{"__metadata__":[]}', 0), /an object/],
    ["a tensor that is a number", build('{"a":1}', 0), /an object, found "1}"/],
    ["a tensor that is null", build('{"a":null}', 0), /an object/],
    ["an unknown key", build('{"a":{"strides":[1]}}', 0), /unknown key.*"strides"/],
    [
      "the key of an old description",
      build('{"a":{"dtype":"U8","shape":[0],"offsets":[0,0]}}', 0),
      /data_offsets, found "offsets"/,
    ],
    ["an entry without a shape", build('{"a":{"dtype":"U8","data_offsets":[0,0]}}', 0), /incomplete/],
    ["an empty entry", build('{"a":{}}', 0), /incomplete/],
    ["an unknown type", build(`{"a":${entry("F33", "[0]", "[0,0]")}}`, 0), /unknown type.*F33/],
    ["a type in lower case", build(`{"a":${entry("bf16", "[0]", "[0,0]")}}`, 0), /unknown type/],
    ["a type that is a number", build('{"a":{"dtype":16}}', 0), /a string/],
    ["a fraction in the shape", build(a("[2.0,3]", "[0,24]"), 24), /integer of 0 or more, found "2.0/],
    ["an exponent in the shape", build(a("[6e0]", "[0,24]"), 24), /integer of 0 or more/],
    ["a negative size", build(a("[-6]", "[0,24]"), 24), /integer of 0 or more, found "-6/],
    ["a negative offset", build(a("[6]", "[-24,0]"), 24), /integer of 0 or more/],
    ["a leading zero", build(a("[06]", "[0,24]"), 24), /integer of 0 or more/],
    ["a string in the shape", build(a('["6"]', "[0,24]"), 24), /integer of 0 or more/],
    ["a null in the shape", build(a("[null]", "[0,24]"), 24), /integer of 0 or more/],
    ["a size beyond 2^53", build(a("[9007199254740993]", "[0,24]"), 24), /too large/],
    ["a size of a hundred digits", build(a(`[${"9".repeat(100)}]`, "[0,24]"), 24), /too large/],
    [
      "a shape whose product overflows 64 bits",
      build(a("[4294967296,4294967296,6]", "[0,24]"), 24),
      /doesn't fit/,
    ],
    [
      "a shape whose product overflows to the right length",
      build(a("[4611686018427387,4000,6]", "[0,24]"), 24),
      /doesn't fit/,
    ],
    ["a name of a megabyte", build(`{"${"a".repeat(1e6)}":{}}`, 0), /name is too long.*at most 1024/],
    ["a type of a megabyte", build(`{"a":${entry("U8".repeat(5e5), "[0]", "[0,0]")}}`, 0), /unknown type/],
    ["a hundred dimensions", build(a(`[${"1,".repeat(99)}6]`, "[0,24]"), 24), /at most 32/],
    ["a shape of shapes", build(a("[[[[[[6]]]]]]", "[0,24]"), 24), /integer of 0 or more/],
    ["nesting a million levels deep", build(`{"a":${'{"a":'.repeat(1e6)}`, 0), /unknown key/],
    ["arrays a million levels deep", build(`{"a":{"shape":${"[".repeat(1e6)}`, 0), /integer of 0 or more/],
    ["a length that doesn't fit the shape", build(a("[5]", "[0,24]"), 24), /expected 20 bytes.*found 24/],
    ["half a byte", build(`{"a":${entry("F4", "[3]", "[0,1]")}}`, 1), /doesn't fit/],
    ["offsets in reverse", build(a("[6]", "[24,0]"), 24), /outside/],
    ["one offset", build(a("[6]", "[0]"), 24), /incomplete/],
    ["three offsets", build(a("[6]", "[0,24,24]"), 24), /at most 2/],
    ["an offset beyond the file", build(a("[6]", "[4,28]"), 24), /outside.*\[4, 28\]/],
    ["an offset far beyond the file", build(a("[6]", "[9007199254740967,9007199254740991]"), 24), /outside/],
    ["a hole at the start", build(a("[6]", "[4,28]"), 28), /hole.*begin at 0, found 4/],
    [
      "a hole in the middle",
      build(`{${A},"b":${entry("U8", "[1]", "[25,26]")}}`, 26),
      /hole.*begin at 24, found 25/,
    ],
    ["an overlap", build(`{${A},"b":${entry("U8", "[24]", "[20,44]")}}`, 44), /overlap/],
    ["two tensors at the same place", build(`{${A},"b":${entry("F32", "[6]", "[0,24]")}}`, 24), /overlap/],
    ["bytes behind the last tensor", build(`{${A}}`, 25), /don't end where the file does/],
    ["bytes and no tensors", build("{}", 1), /don't end where the file does/],
  ])("is refused with %s", async (_, bytes, message) => {
    const file = new CountingFile("bad.safetensors", bytes);
    const error = await rejection(readSafetensors(file));
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^[^\n]*bad\.safetensors[^\n]*$/);
    expect(error.message.length).toBeLessThan(700);
    expect(file.bytesRead).toBeLessThanOrEqual(bytes.length);
  });
});
