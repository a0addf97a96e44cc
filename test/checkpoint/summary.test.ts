import { describe, expect, it } from "vitest";
import { MemoryFile, type RandomAccessFile } from "../../src/checkpoint/file.ts";
import { type OpenCheckpoint, openCheckpointFiles } from "../../src/checkpoint/open.ts";
import { encodeSafetensorsHeader } from "../../src/checkpoint/safetensors.ts";
import { summarizeCheckpoint } from "../../src/checkpoint/summary.ts";
import { SHAPES, type ShapeName } from "../../src/checkpoint/synth/index.ts";
import { byteLength, SynthModel } from "../../src/checkpoint/synth/model.ts";
import { huggingFaceTensors } from "../../src/checkpoint/synth/safetensors.ts";
import { huggingFaceConfig } from "../../src/checkpoint/synth/settings.ts";

/** A checkpoint of the real size, of which only the headers exist. */
function hollow(shape: ShapeName): Promise<OpenCheckpoint> {
  const config = SHAPES[shape];
  const tensors = huggingFaceTensors(new SynthModel(config, 0)).map((each) => ({
    ...each,
    bytes: byteLength(each),
  }));
  const header = encodeSafetensorsHeader(tensors);
  const size = tensors.reduce((sum, { bytes }) => sum + bytes, header.length);
  const weights: RandomAccessFile = {
    name: "model.safetensors",
    size,
    read: async (offset, length) => {
      if (offset + length > header.length) throw new Error("opening must not read weights");
      return header.slice(offset, offset + length);
    },
    close: async () => {},
  };
  const json = new TextEncoder().encode(JSON.stringify(huggingFaceConfig(config)));
  return openCheckpointFiles([weights, new MemoryFile("config.json", json)]);
}

describe("the summary", () => {
  it("counts gpt-oss-20b's parameters and bytes as published", async () => {
    const checkpoint = await hollow("20b");
    const { parameters, weightBytes, expertBytes, kvCache } = summarizeCheckpoint(checkpoint);
    expect(checkpoint.tensors.size).toBe(459);
    expect(parameters.total).toBe(20_914_757_184);
    expect((parameters.active / 1e9).toFixed(2)).toBe("3.61");
    expect(((parameters.active + parameters.embedding) / 1e9).toFixed(2)).toBe("4.19");
    expect(weightBytes).toBe(13_761_264_768);
    expect(expertBytes).toBe(24 * 32 * (13_219_200 + (5760 + 2880) * 2));
    expect(kvCache.bytesPerToken).toBe(12 * 2 * 8 * 64 * 4);
    expect(kvCache.windowBytes).toBe(128 * kvCache.bytesPerToken);
    expect(kvCache.contexts.map(({ tokens }) => tokens)).toEqual([1024, 4096, 16384, 65536, 131072]);
    expect(kvCache.contexts[0]!.bytes).toBe(1024 * kvCache.bytesPerToken + kvCache.windowBytes);
  });
  it("counts gpt-oss-120b's parameters and bytes as published", async () => {
    const checkpoint = await hollow("120b");
    const { parameters, weightBytes } = summarizeCheckpoint(checkpoint);
    expect(checkpoint.tensors.size).toBe(687);
    expect(parameters.total).toBe(116_829_156_672);
    expect((parameters.active / 1e9).toFixed(2)).toBe("5.13");
    expect(((parameters.active + parameters.embedding) / 1e9).toFixed(2)).toBe("5.71");
    expect(weightBytes).toBe(65_248_815_744);
  });
});
