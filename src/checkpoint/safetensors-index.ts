import { CheckpointError } from "../errors.ts";
import { JsonReader, MAX_NAME } from "./json.ts";
import type { TensorMap } from "./tensors.ts";

/** `model.safetensors.index.json`: which tensor lies in which shard. */
export type WeightMap = ReadonlyMap<string, string>;

/**
 * Reads an index. A shard's name must be a plain file name, since an index may come from anywhere and
 * must not reach files outside of its folder.
 */
export function readIndex(bytes: Uint8Array, where: string): WeightMap {
  const json = new JsonReader(bytes, where);
  let weightMap: Map<string, string> | undefined;
  json.object((key) => {
    if (key === "weight_map") {
      const map = new Map<string, string>();
      json.object((tensor) => {
        const shard = json.string(MAX_NAME);
        if (!isPlainName(shard)) {
          json.fail(
            "the index names something else than a shard",
            "a plain name ending in .safetensors",
            shard,
          );
        }
        map.set(tensor, shard);
      });
      weightMap = map;
    } else json.skipValue();
  });
  json.end();
  if (weightMap === undefined || weightMap.size === 0) {
    throw new CheckpointError("the index has no weight_map", { where });
  }
  return weightMap;
}

/** The index must list exactly the tensors that its shards have, each in its place. */
export function checkIndex(index: WeightMap, shards: ReadonlyMap<string, TensorMap>, where: string): void {
  for (const [tensor, shard] of index) {
    if (!shards.get(shard)?.has(tensor)) {
      throw new CheckpointError("a shard lacks a tensor that the index places there", {
        where: `${where}, ${tensor}`,
        expected: `in ${shard}`,
      });
    }
  }
  for (const [shard, tensors] of shards) {
    for (const tensor of tensors.keys()) {
      if (index.get(tensor) === shard) continue;
      throw new CheckpointError("a shard has a tensor that the index doesn't place there", {
        where: `${shard}, ${tensor}`,
        found: index.get(tensor) ?? "no entry in the index",
      });
    }
  }
}

function isPlainName(name: string): boolean {
  return /^[A-Za-z0-9_-][A-Za-z0-9._-]*\.safetensors$/.test(name);
}
