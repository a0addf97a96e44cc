import { promisify } from "node:util";
import { crc32, inflateRaw } from "node:zlib";
import { MemoryFile, type RandomAccessFile } from "../../checkpoint/file.ts";
import type { HostTensor } from "../../engine/ops.ts";
import { CheckpointError } from "../../errors.ts";
import { readNpy } from "./npy.ts";

/**
 * NumPy's archive of arrays: a zip file (https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT) whose members are .npy files,
 * stored or deflated. Only the central directory is believed, and of it nothing that the bytes don't bear out.
 *
 * @param maxBytes what all arrays together may take in memory
 */
export async function readNpz(file: RandomAccessFile, maxBytes: number): Promise<Map<string, HostTensor>> {
  const arrays = new Map<string, HostTensor>();
  let total = 0;
  for (const member of await centralDirectory(file)) {
    const where = `${file.name}, ${member.name}`;
    if (!member.name.endsWith(".npy"))
      throw new CheckpointError("not an array", { where, expected: "a name ending in .npy" });
    total += member.size;
    if (total > maxBytes)
      throw new CheckpointError("the arrays are too large", { where, expected: `at most ${maxBytes} bytes` });
    const name = member.name.slice(0, -4);
    if (arrays.has(name)) throw new CheckpointError("two arrays have the same name", { where });
    arrays.set(name, await readNpy(new MemoryFile(member.name, await extract(file, member, where)), where));
  }
  return arrays;
}

interface Member {
  readonly name: string;
  readonly method: number;
  readonly packed: number;
  readonly size: number;
  readonly crc: number;
  readonly offset: number;
}

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;
const MAX_MEMBERS = 2 ** 17;
const MAX_DIRECTORY = 2 ** 26;

async function centralDirectory(file: RandomAccessFile): Promise<Member[]> {
  const fail = (what: string, found?: string | number): never => {
    throw new CheckpointError(what, { where: file.name, ...(found !== undefined && { found }) });
  };
  const tailLength = Math.min(file.size, 22 + 65_535);
  const tail = await view(file, file.size - tailLength, tailLength);
  let end = tailLength - 22;
  while (end >= 0 && tail.getUint32(end, true) !== END) end--;
  if (end < 0) fail("not a zip file: it has no end record");
  let count = tail.getUint16(end + 10, true);
  let length = tail.getUint32(end + 12, true);
  let offset = tail.getUint32(end + 16, true);
  if (end >= 20 && tail.getUint32(end - 20, true) === LOCATOR_64) {
    const record = await view(file, size64(tail, end - 12), 56);
    if (record.getUint32(0, true) !== END_64) fail("the zip64 end record is missing");
    count = size64(record, 32);
    length = size64(record, 40);
    offset = size64(record, 48);
  }
  if (count > MAX_MEMBERS || length > MAX_DIRECTORY) fail("the zip file has too many members", count);
  const directory = await view(file, offset, length);
  const members: Member[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > length || directory.getUint32(at, true) !== ENTRY)
      fail("the zip file's directory is damaged");
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((o) =>
      directory.getUint16(at + o, true),
    ) as [number, number, number];
    const next = at + 46 + nameLength + extraLength + commentLength;
    if (next > length) fail("the zip file's directory is damaged");
    const text = new Uint8Array(directory.buffer, directory.byteOffset + at + 46, nameLength);
    const sizes = {
      size: directory.getUint32(at + 24, true),
      packed: directory.getUint32(at + 20, true),
      offset: directory.getUint32(at + 42, true),
    };
    widen(sizes, directory, at + 46 + nameLength, extraLength);
    const name = new TextDecoder().decode(text);
    if (directory.getUint16(at + 8, true) & 1) fail("the zip file is encrypted", name);
    members.push({
      name,
      ...sizes,
      method: directory.getUint16(at + 10, true),
      crc: directory.getUint32(at + 16, true),
    });
    at = next;
  }
  return members;
}

/** Sizes of 0xffffffff stand in the zip64 extra field (id 1) instead, in this order. */
function widen(
  sizes: { size: number; packed: number; offset: number },
  directory: DataView,
  from: number,
  length: number,
): void {
  for (let at = from; at + 4 <= from + length; ) {
    const [id, fieldLength] = [directory.getUint16(at, true), directory.getUint16(at + 2, true)];
    let value = at + 4;
    at += 4 + fieldLength;
    if (id !== 1 || at > from + length) continue;
    for (const key of ["size", "packed", "offset"] as const) {
      if (sizes[key] !== 0xffffffff || value + 8 > at) continue;
      sizes[key] = size64(directory, value);
      value += 8;
    }
  }
}

async function extract(file: RandomAccessFile, member: Member, where: string): Promise<Uint8Array> {
  const local = await view(file, member.offset, 30);
  if (local.getUint32(0, true) !== LOCAL)
    throw new CheckpointError("a member of the zip file is missing", { where });
  const begin = member.offset + 30 + local.getUint16(26, true) + local.getUint16(28, true);
  const packed = await file.read(begin, member.packed);
  const bytes = await unpack(packed, member, where);
  if (bytes.length !== member.size)
    throw new CheckpointError("a member has another length", {
      where,
      expected: member.size,
      found: bytes.length,
    });
  if (crc32(bytes) !== member.crc)
    throw new CheckpointError("a member's checksum is wrong", { where, hint: "The file is damaged." });
  return bytes;
}

async function unpack(packed: Uint8Array, { method, size }: Member, where: string): Promise<Uint8Array> {
  if (method === 0) return packed;
  if (method !== 8)
    throw new CheckpointError("unknown compression", {
      where,
      expected: "stored or deflated",
      found: method,
    });
  try {
    return await promisify(inflateRaw)(packed, { maxOutputLength: Math.max(1, size) });
  } catch (cause) {
    throw new CheckpointError("can't unpack a member", { where, found: (cause as Error).message, cause });
  }
}

/** A range of the file as a view; a RangeError of impossible offsets becomes one of ours. */
async function view(file: RandomAccessFile, offset: number, length: number): Promise<DataView> {
  if (!(offset >= 0 && offset + length <= file.size))
    throw new CheckpointError("the zip file points outside of itself", { where: file.name, found: offset });
  const bytes = await file.read(offset, length);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function size64(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}
