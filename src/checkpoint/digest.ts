import { type Checkpoint, type EncodedRows, mapWeights, type WeightSource } from "./weights.ts";

/** A weight of at most this many values is hashed whole; of a larger one, three rows. */
const WHOLE = 2 ** 15;

/**
 * Identity of a model, cheap enough to compute at every run: SHA-256, as 64 hexadecimal digits, of the configuration and
 * of each weight's shape, type and values, large ones by their first, middle and last row in the last matrix. So a
 * fine-tuned model differs from its base, but a flipped bit may stay unseen: it is no checksum against damage.
 *
 * Files of one checkpoint in the three formats have the same digest, if no type lost values: float32 numbers that are
 * bfloat16 numbers count as such.
 */
export async function checkpointDigest({ config, weights }: Checkpoint): Promise<string> {
  const parts: Uint8Array[] = [];
  await mapWeights(weights, async (weight) => parts.push(await hashWeight(weight)));
  const settings = JSON.stringify(
    config,
    [...new Set([...Object.keys(config), ...Object.keys(config.rope)])].sort(),
  );
  return hex(await sha256([UTF8.encode(settings), ...parts]));
}

async function hashWeight(weight: WeightSource): Promise<Uint8Array<ArrayBuffer>> {
  const { matrices, rows, cols } = weight;
  const read: Promise<EncodedRows>[] = [];
  if (matrices * rows * cols <= WHOLE) {
    for (let matrix = 0; matrix < matrices; matrix++) read.push(weight.readRows(matrix, 0, rows));
  } else {
    for (const row of [0, rows >> 1, rows - 1]) read.push(weight.readRows(matrices - 1, row, 1));
  }
  const samples = await Promise.all(read);
  const narrow = samples.every(isBfloat16);
  const encoding = narrow ? "bf16" : weight.encoding;
  const form = UTF8.encode(`${encoding} ${matrices} ${rows} ${cols} `);
  const pieces = samples.flatMap((sample) => [
    narrow ? upperHalves(sample) : sample.data,
    sample.scales ?? EMPTY,
  ]);
  return sha256([form, ...pieces]);
}

/** Whether these are float32 numbers whose lower halves are 0. */
function isBfloat16({ encoding, data }: EncodedRows): boolean {
  if (encoding !== "f32") return false;
  for (let i = 0; i < data.length; i += 4) if (data[i] !== 0 || data[i + 1] !== 0) return false;
  return true;
}

function upperHalves({ data }: EncodedRows): Uint8Array {
  return data.filter((_, i) => (i & 2) !== 0);
}

async function sha256(pieces: readonly Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const UTF8 = new TextEncoder();
const EMPTY = new Uint8Array(0);
