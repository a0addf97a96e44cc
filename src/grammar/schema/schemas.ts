import { GrammarError } from "../errors.ts";
import { at, checkKeywords, isObject, refuse, type SchemaObject, short } from "./keywords.ts";

/** Parts of a schema document: what comes from elsewhere shall not exhaust memory or stack. */
const MAX_DEPTH = 200;
const MAX_VALUES = 500_000;

/** A schema of the document, by number; see Schemas. */
export type SchemaId = number;
/** Schemas that a value must all fulfil, without repetition and in ascending order. */
export type Conjunction = readonly SchemaId[];

interface Place {
  readonly pointer: string;
  readonly schema: unknown;
  checked: boolean;
}

/** The schemas of one document. */
export class Schemas {
  readonly #places: Place[] = [];
  readonly #ids: Map<string, SchemaId> = new Map();
  readonly #root: unknown;

  constructor(root: unknown) {
    checkSize(root);
    this.#root = root;
  }

  get root(): SchemaId {
    return this.#id("", this.#root);
  }

  pointer(id: SchemaId): string {
    return this.#places[id]!.pointer;
  }

  /** The schema: true, false, or an object whose keywords are known. */
  get(id: SchemaId): boolean | SchemaObject {
    const place = this.#places[id]!;
    const { schema, pointer } = place;
    if (typeof schema === "boolean") return schema;
    if (!isObject(schema)) {
      throw new GrammarError("not a schema", {
        where: at(pointer),
        expected: "an object, true or false",
        found: short(schema),
      });
    }
    if (!place.checked) checkKeywords(schema, pointer);
    place.checked = true;
    return schema;
  }

  /** The schema below another one, by keyword and perhaps name or index; undefined if there is none. */
  child(id: SchemaId, ...steps: readonly (string | number)[]): SchemaId | undefined {
    const { schema, pointer } = this.#places[id]!;
    let value = schema;
    let path = pointer;
    for (const step of steps) {
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
      value = (value as Record<string | number, unknown>)[step];
      path = at(path, step).slice(1);
    }
    return this.#id(path, value);
  }

  /** The schemas in an array, below a keyword. */
  children(id: SchemaId, keyword: string): SchemaId[] {
    const list = (this.#places[id]!.schema as SchemaObject)[keyword];
    return Array.isArray(list) ? list.map((_, index) => this.child(id, keyword, index)!) : [];
  }

  /** The schema that a `$ref` names. */
  resolve(id: SchemaId, ref: string): SchemaId {
    const { pointer } = this.#places[id]!;
    if (ref !== "#" && !ref.startsWith("#/")) {
      refuse(
        pointer,
        "$ref",
        "a reference isn't supported",
        'It must be a pointer within the document, such as "#/$defs/name".',
      );
    }
    let steps: string[];
    try {
      steps = decodeURIComponent(ref.slice(1)).split("/").slice(1);
    } catch {
      refuse(pointer, "$ref", "a reference isn't a JSON pointer");
    }
    let value = this.#root;
    let path = "";
    for (const escaped of steps) {
      const step = escaped.replaceAll("~1", "/").replaceAll("~0", "~");
      if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) {
        refuse(pointer, "$ref", "a reference leads nowhere");
      }
      value = (value as Record<string, unknown>)[step];
      path = at(path, step).slice(1);
      if (isObject(value) && path !== "" && typeof value["$id"] === "string") {
        refuse(path, "$id", "a schema with an $id of its own within the document isn't supported");
      }
    }
    return this.#id(path, value);
  }

  /** The conjunction of these; `true` adds nothing to it. */
  all(ids: Iterable<SchemaId>): Conjunction {
    const kept = [...new Set(ids)].filter((id) => this.#places[id]!.schema !== true);
    return kept.sort((a, b) => a - b);
  }

  #id(pointer: string, schema: unknown): SchemaId {
    let id = this.#ids.get(pointer);
    if (id === undefined) {
      id = this.#places.push({ pointer, schema, checked: false }) - 1;
      this.#ids.set(pointer, id);
    }
    return id;
  }
}

function checkSize(root: unknown): void {
  let level = [root];
  let values = 1;
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) {
      throw new GrammarError("schema nested too deeply", { expected: `at most ${MAX_DEPTH} levels` });
    }
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value !== "object" || value === null) continue;
      for (const part of Object.values(value)) next.push(part);
      if (values + next.length > MAX_VALUES) {
        throw new GrammarError("schema too large", { expected: `at most ${MAX_VALUES} values` });
      }
    }
    values += next.length;
    level = next;
  }
}
