import { CheckpointError } from "../errors.ts";

/** Bytes of ggml's block of 32: the scale, then 16 bytes of codes (`block_mxfp4` in ggml-common.h). */
export const GGUF_MXFP4_BLOCK = 17;

/**
 * Undoes ggml's order of MXFP4: its byte j holds elements j (low nibble) and j + 16 (high), OpenAI's 2j and 2j + 1.
 *
 * @param packed blocks of 17 bytes
 */
export function fromGgufBlocks(packed: Uint8Array): { data: Uint8Array; scales: Uint8Array } {
  const blocks = packed.length / GGUF_MXFP4_BLOCK;
  const data = new Uint8Array(blocks * 16);
  const scales = new Uint8Array(blocks);
  for (let block = 0, from = 0, to = 0; block < blocks; block++, to += 8) {
    scales[block] = packed[from++]!;
    for (const end = from + 16; from < end; from += 2, to++) {
      const a = packed[from]!;
      const b = packed[from + 1]!;
      data[to] = (a & 15) | (b << 4);
      data[to + 8] = (a >> 4) | (b & 0xf0);
    }
  }
  return { data, scales };
}

/** The reverse: blocks and scales in OpenAI's order to ggml's blocks of 17 bytes, written into `packed` from `to` on. */
export function toGgufBlocks(data: Uint8Array, scales: Uint8Array, packed: Uint8Array, to: number): void {
  for (let block = 0, from = 0; block < scales.length; block++, from += 8) {
    packed[to++] = scales[block]!;
    for (const end = to + 16; to < end; to += 2, from++) {
      const a = data[from]!;
      const b = data[from + 8]!;
      packed[to] = (a & 15) | (b << 4);
      packed[to + 1] = (a >> 4) | (b & 0xf0);
    }
  }
}

/** Refuses scale bytes 255: NaN by OCP MX 1.0 §5.4.1, infinity in the references, and no sane weight either way. */
export function checkScales(
  scales: Uint8Array,
  groups: number,
  firstRow: number,
  tensor: { name: string; file: string; matrix: number },
): void {
  const at = scales.indexOf(255);
  if (at < 0) return;
  const row = firstRow + Math.floor(at / groups);
  throw new CheckpointError("an MXFP4 scale is 255, which stands for NaN", {
    where: `${tensor.file}, ${tensor.name}, matrix ${tensor.matrix}, row ${row}, block ${at % groups}`,
    hint: "The file is damaged.",
  });
}
