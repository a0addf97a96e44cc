import type { CheckpointSummary } from "../../src/checkpoint/index.ts";
import { Served } from "./child.ts";
import { type Finding, idsOf, inParallel, megabytes, type Settings } from "./report.ts";

/** What a server needs beside weights, keys and values: code, the vocabulary, room to compute in. */
const REST = 600e6;
const PREFIX_CACHE = 64 * 2 ** 20;
/** Prompts are as many times as long as those of `throughput`. */
const LONGER = 8;

/** The most that is ever resident, from loading to long prompts of all clients at a time, against the checkpoint's size. */
export async function peak(
  { serve, clients, ids }: Settings,
  { weightBytes, kvCache }: CheckpointSummary,
): Promise<Finding> {
  await using server = await Served.start([...serve, "--prefix-cache", String(PREFIX_CACHE)]);
  const { peakBytes: loaded } = await server.usage();
  const prompt = ids.prompt * LONGER;
  const faults: string[] = [];
  await inParallel(clients, clients, async (i) => {
    const body = { prompt: idsOf(i, { ...ids, prompt }), max_tokens: ids.answer };
    const { status, text } = await server.client.create("completions", body);
    if (status !== 200) faults.push(`a request failed: ${status} ${text.slice(-300)}`);
  });
  const { peakBytes } = await server.usage();
  const sequence = kvCache.bytesPerToken * (prompt + ids.answer) + kvCache.windowBytes;
  const state = clients * sequence + PREFIX_CACHE;
  const rest = peakBytes - weightBytes - state;
  if (rest > REST)
    faults.push(`${megabytes(rest)} beside weights, keys and values, more than ${megabytes(REST)}`);
  return {
    lines: [
      `resident at most: ${megabytes(loaded)} with the model loaded, ${megabytes(peakBytes)} after ${clients} prompts of ${prompt} tokens at a time`,
      `of it ${megabytes(weightBytes)} weights (${(peakBytes / weightBytes).toFixed(2)} ×), at most ${megabytes(state)} keys and values`,
    ],
    faults,
  };
}
