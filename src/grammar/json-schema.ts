import type { Grammar } from "./constraint.ts";
import { Emitter } from "./schema/emit.ts";
import { Meaning } from "./schema/meaning.ts";
import { Schemas } from "./schema/schemas.ts";

/**
 * JSON texts that are valid against a schema of draft 2020-12, in a form of their own: properties in the order of the
 * schema, little space, numbers of at most 15 digits. Every such text is valid; docs/structured-output.md says which valid
 * ones are left out.
 *
 * @param schema a parsed schema document
 * @throws GrammarError naming pointer and keyword if the schema uses what can't be enforced exactly, is too large, or
 *   allows no value
 */
export function jsonSchemaGrammar(schema: unknown): Grammar {
  const schemas = new Schemas(schema);
  const emitter = new Emitter(new Meaning(schemas));
  const rules = emitter.builder.finish(emitter.emit(schemas.root), "#");
  return { kind: "json-schema", rules, distinctKeys: emitter.hasOpenKeys };
}
