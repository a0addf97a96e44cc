import { isArray, isObject, type Json, jsonText, readJson } from "./json.ts";
import type { JsonSchema } from "./tools.ts";

/*
 * The model was trained on tools in TypeScript's notation, as `json_schema_to_typescript` in openai/harmony 0.0.8,
 * src/encoding.rs, writes it. What looks odd here (descriptions that come twice or break out of their comment, braces
 * with and without indentation, unions of arrays without parentheses) is so there.
 */

/**
 * The TypeScript type by which the model is told of a JSON Schema. Keywords other than type, properties, required,
 * items, enum, oneOf, nullable, title, description, examples and default are left out.
 *
 * @throws HarmonyError if the schema can't be read; see readJson
 */
export function schemaToTypeScript(schema: JsonSchema | string): string {
  return typeText(readJson(schema, "a schema"));
}

/** As schemaToTypeScript, of a schema that has been read. */
export function typeText(schema: Json, indent = ""): string {
  const oneOf = get(schema, "oneOf");
  if (isArray(oneOf)) {
    return oneOf
      .map((variant) => {
        const notes = [getString(variant, "description"), defaultNote(variant, jsonText)];
        return `\n${indent} | ${nullableText(variant, `${indent}   `)}${comment(notes)}`;
      })
      .join("");
  }

  const type = get(schema, "type");
  if (isArray(type)) {
    const names = type.filter((name) => typeof name === "string");
    if (names.length === 0) return "any";
    return names.map((name) => (name === "integer" ? "number" : name)).join(" | ");
  }
  switch (type) {
    case "object":
      return objectText(schema, indent);
    case "array": {
      const items = get(schema, "items");
      return items === undefined ? "Array<any>" : `${typeText(items, indent)}[]`;
    }
    case "string": {
      const values = get(schema, "enum");
      const texts = isArray(values) ? values.filter((value) => typeof value === "string") : [];
      return texts.map((text) => `"${text}"`).join(" | ") || "string";
    }
    case "integer":
      return "number";
    case "number":
    case "boolean":
      return type;
    default:
      return "any";
  }
}

function objectText(schema: Json, indent: string): string {
  const description = getString(schema, "description");
  let text = description === undefined ? "{\n" : `${indent}// ${description}\n{\n`;
  const properties = get(schema, "properties");
  if (isObject(properties)) {
    const list = get(schema, "required");
    const required = new Set(isArray(list) ? list : []);
    for (const [key, value] of properties) {
      text += propertyText(required.has(key) ? key : `${key}?`, value, indent);
    }
  }
  return `${text}${indent}}`;
}

function propertyText(name: string, schema: Json, indent: string): string {
  const title = getString(schema, "title");
  const description = getString(schema, "description");
  const examples = get(schema, "examples");
  const oneOf = get(schema, "oneOf");

  let text = "";
  if (title !== undefined) text += `${indent}// ${title}\n${indent}//\n`;
  if (description !== undefined && oneOf === undefined) text += `${indent}// ${description}\n`;
  if (isArray(examples) && examples.length > 0) {
    text += `${indent}// Examples:\n`;
    for (const example of examples) if (typeof example === "string") text += `${indent}// - "${example}"\n`;
  }

  if (isArray(oneOf)) return text + unionText(name, schema, oneOf, indent);
  const note = oneOf === undefined ? defaultNote(schema) : undefined;
  return `${text}${indent}${name}: ${nullableText(schema, `${indent}    `)},${comment([note])}\n`;
}

function unionText(name: string, schema: Json, variants: readonly Json[], indent: string): string {
  const description = getString(schema, "description");
  const above = description !== undefined && description !== getString(variants[0], "description");
  const note = defaultNote(schema);

  let text = "";
  if (above) text += `${indent}// ${description}\n`;
  if (note !== undefined) text += `${indent}// ${note}\n`;
  text += `${indent}${name}:\n`;
  for (const [index, variant] of variants.entries()) {
    const own = getString(variant, "description");
    const shown = own === description || (index === 0 && above) ? undefined : own;
    const type = nullableText(variant, `${indent}   `);
    text += `${indent} | ${type}${comment([shown, defaultNote(variant)])}\n`;
  }
  return `${text}${indent},\n`;
}

function nullableText(schema: Json, indent: string): string {
  const type = typeText(schema, indent);
  return get(schema, "nullable") === true && !type.includes("null") ? `${type} | null` : type;
}

// The default of an enumeration stands bare; of other texts, in quotes.
function defaultNote(schema: Json, ofEnum = (text: string): string => text): string | undefined {
  const value = get(schema, "default");
  if (value === undefined) return undefined;
  if (typeof value !== "string") return `default: ${jsonText(value)}`;
  const values = get(schema, "enum");
  return `default: ${isArray(values) && values.length > 0 ? ofEnum(value) : `"${value}"`}`;
}

function comment(notes: readonly (string | undefined)[]): string {
  const given = notes.filter((note) => note !== undefined);
  return given.length === 0 ? "" : ` // ${given.join(" ")}`;
}

function get(schema: Json | undefined, keyword: string): Json | undefined {
  return isObject(schema) ? schema.get(keyword) : undefined;
}

function getString(schema: Json | undefined, keyword: string): string | undefined {
  const value = get(schema, keyword);
  return typeof value === "string" ? value : undefined;
}
