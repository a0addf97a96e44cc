import { readFile } from "node:fs/promises";

/** What a heap holds of one kind of object. */
interface Held {
  readonly count: number;
  readonly bytes: number;
}

/** By type and constructor, such as `object:Map`. */
export type Objects = ReadonlyMap<string, Held>;

/**
 * What a heap snapshot holds besides code. V8 compiles for as long as it finds something worth it, ever less but for tens of
 * thousands of requests, and notes at each hidden class which code relies on it: growth that is nobody's leak.
 */
export async function readObjects(file: string): Promise<Objects> {
  const { snapshot, nodes, strings } = JSON.parse(await readFile(file, "utf8")) as Snapshot;
  const { node_fields: fields, node_types: types } = snapshot.meta;
  const [type, name, size] = ["type", "name", "self_size"].map((field) => fields.indexOf(field)) as [
    number,
    number,
    number,
  ];
  const objects = new Map<string, Held>();
  for (let node = 0; node < nodes.length; node += fields.length) {
    const kind = types[0][nodes[node + type]!]!;
    const called = strings[nodes[node + name]!]!;
    if (kind === "code" || (kind === "hidden" && called === "system / WeakArrayList")) continue;
    const key = NAMED.includes(kind) ? `${kind}:${called}` : kind;
    const { count, bytes } = objects.get(key) ?? { count: 0, bytes: 0 };
    objects.set(key, { count: count + 1, bytes: bytes + nodes[node + size]! });
  }
  return objects;
}

/** Kinds of nodes whose names tell what they are; a string's name is its text. */
const NAMED: readonly string[] = ["array", "closure", "hidden", "native", "object", "object shape"];

interface Snapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[];
      readonly node_types: readonly [readonly string[]];
    };
  };
  readonly nodes: readonly number[];
  readonly strings: readonly string[];
}

/** Of what there is more than before, and how many; most first. */
export function growth(before: Objects, after: Objects): (Held & { readonly key: string })[] {
  return [...after]
    .map(([key, now]) => {
      const old = before.get(key);
      return { key, count: now.count - (old?.count ?? 0), bytes: now.bytes - (old?.bytes ?? 0) };
    })
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count);
}
