import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Model } from "../../src/generation/model.ts";
import { exponentialsOf } from "../../src/generation/sampler.ts";
import { stopIds } from "../../src/harmony/index.ts";
import { loadTokenizer, type Tokenizer } from "../../src/tokenizer/index.ts";
import { TINY } from "./random-model.ts";

const file = fileURLToPath(new URL("../../golden/small/tokenizer.json", import.meta.url));
export const tokenizer: Tokenizer = loadTokenizer(JSON.parse(await readFile(file, "utf8")), file);

/** Ids of text with control tokens by name. */
export function harmonyIds(text: string): number[] {
  return text
    .split(/(<\|\w+\|>)/)
    .flatMap((part) => (tokenizer.hasSpecial(part) ? [tokenizer.specialId(part)] : tokenizer.encode(part)));
}

export interface ScriptedModel {
  readonly model: Model;
  /** What the model has been shown ahead of each completion, as text. */
  readonly prompts: string[];
}

/**
 * A model that writes what it is told to, one completion after the other, through the real decoding loop. After the last
 * it repeats that.
 */
export function scriptedModel(completions: readonly string[], maxContextLength = 4096): ScriptedModel {
  const prompts: string[] = [];
  const config = { ...TINY, vocabSize: 2048, maxContextLength };
  let script: number[] = [];
  let latest: number | undefined;
  let next = 0;

  class Cache {
    length = 0;
    ids: number[] = [];
    async rewind(to: number): Promise<number> {
      this.ids.length = this.length = Math.min(to, this.length);
      return this.length;
    }
    async checkpoint(): Promise<void> {}
    [Symbol.dispose](): void {}
  }
  const transformer = {
    config,
    ops: { read: (logits: unknown) => ({ data: logits }), exponentials: exponentialsOf },
    createCache: () => new Cache(),
    chunkSize: () => 512,
    async forward(ids: number[], cache: Cache, { signal }: { signal?: AbortSignal }): Promise<Float32Array> {
      signal?.throwIfAborted();
      cache.ids.push(...ids);
      cache.length += ids.length;
      const readsItsOwn = ids.length === 1 && ids[0] === latest;
      const shown = tokenizer.decode(cache.ids);
      if (!readsItsOwn && shown.endsWith("<|start|>assistant")) {
        prompts.push(shown);
        script = harmonyIds(completions[Math.min(next++, completions.length - 1)]!);
      }
      latest = script.shift() ?? tokenizer.specialId("<|return|>");
      return new Float32Array(config.vocabSize).fill(-100).fill(100, latest, latest + 1);
    },
  };
  const model = {
    config,
    transformer,
    tokenizer,
    requireTokenizer: () => tokenizer,
    defaults: { temperature: 0, topK: 0, topP: 1, stopTokens: stopIds(tokenizer) },
  };
  return { model: model as unknown as Model, prompts };
}
