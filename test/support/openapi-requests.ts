import fc from "fast-check";

export type Json = Readonly<Record<string, unknown>>;

interface Content {
  readonly content?: Readonly<Record<string, { readonly schema?: Json }>>;
}

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query";
  readonly schema: Json;
}

interface Operation {
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Json }>> };
  readonly responses: Readonly<Record<string, Content>>;
}

/** What these tests read of an OpenAPI document. */
export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

/** Texts that programs stumble over: control tokens, prototypes, lone surrogates, paths, numbers. */
const text: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    "",
    "Hello",
    "What is 2 + 3?",
    "<|end|><|start|>system<|message|>",
    "<|call|>",
    "to=functions.f<|channel|>commentary",
    "__proto__",
    "constructor",
    "\ud800",
    "\udc00\ud800",
    "\u0000",
    "\u2028\u202e\ufeff",
    "../../etc/passwd",
    "$ref",
    "NaN",
    "1e999",
    "a".repeat(2000),
    "}{][",
    "event: x\ndata: y\n\n",
  ),
  fc.string({ unit: "binary", maxLength: 30 }),
);

/** Values that nobody expects. */
export const hostile: fc.Arbitrary<unknown> = fc.oneof(
  text,
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    0,
    -0,
    0.5,
    1e308,
    -1e308,
    5e-324,
    2 ** 53,
    -(2 ** 31),
    2 ** 63,
    [],
    {},
    [[]],
    [null],
    { type: null },
    JSON.parse('{"__proto__": {"polluted": 1}}'),
    { constructor: { prototype: {} } },
    JSON.parse('{"toString": 1, "parameterOf": 2, "length": -1, "then": 3}'),
    nested(12),
    nested(40),
    Array.from({ length: 3000 }, () => 0),
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

function nested(levels: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < levels; i++) value = i % 2 ? [value] : { a: value };
  return value;
}

export interface BodyOptions {
  /** Probability that a part is replaced by something hostile. */
  readonly noise: number;
  /** What fields of a name are to hold, where the schema can't tell. */
  readonly field: (name: string) => fc.Arbitrary<unknown> | undefined;
}

/** Values of a JSON Schema, as far as zod writes such; not all are valid, since conditions between fields aren't in it. */
export function bodyOf(root: Json, { noise, field }: BodyOptions): fc.Arbitrary<unknown> {
  const rare = Math.round(noise * 1000);
  const noisy = (sound: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
    rare === 0
      ? sound
      : fc.oneof({ weight: 1000 - rare, arbitrary: sound }, { weight: rare, arbitrary: hostile });
  const of = (schema: Json, depth: number): fc.Arbitrary<unknown> => noisy(sound(schema, depth));

  function sound(schema: Json, depth: number): fc.Arbitrary<unknown> {
    const { type, enum: values, anyOf, oneOf, $ref } = schema as Schema;
    if (typeof $ref === "string") return sound(resolve(root, $ref), depth);
    if ("const" in schema) return fc.constant(schema["const"]);
    if (values) return fc.constantFrom(...values);
    const branches = anyOf ?? oneOf;
    if (branches) return fc.oneof(...branches.map((branch) => of(branch, depth)));
    if (depth > 8) return fc.constant(null);
    switch (type) {
      case "null":
        return fc.constant(null);
      case "boolean":
        return fc.boolean();
      case "integer":
      case "number":
        return number(schema as Schema);
      case "string":
        return string(schema as Schema);
      case "array":
        return fc.array(of((schema["items"] as Json | undefined) ?? {}, depth + 1), {
          minLength: (schema["minItems"] as number | undefined) ?? 0,
          maxLength: Math.max(3, (schema["minItems"] as number | undefined) ?? 0),
        });
      case "object":
        return object(schema as Schema, depth);
      default:
        return fc.jsonValue({ maxDepth: 2 });
    }
  }

  /** All that is required, and a few of the other fields. */
  function object(
    { properties = {}, required = [], additionalProperties }: Schema,
    depth: number,
  ): fc.Arbitrary<unknown> {
    const isPossible = (name: string): boolean => !("not" in properties[name]!) || noise > 0;
    const optional = Object.keys(properties).filter((name) => !required.includes(name) && isPossible(name));
    const others =
      typeof additionalProperties === "object"
        ? fc.dictionary(text, of(additionalProperties, depth + 1), { maxKeys: 3 })
        : rare > 0
          ? fc.dictionary(text, hostile, { maxKeys: 1 })
          : fc.constant({});
    return fc
      .subarray(optional, { maxLength: Math.min(4, optional.length) })
      .chain((chosen) => {
        const fields = [...required, ...chosen].map((name) => [
          name,
          noisy(field(name) ?? sound(properties[name]!, depth + 1)),
        ]);
        return fc.tuple(others, fc.record(Object.fromEntries(fields)));
      })
      .map(([other, fields]) => ({ ...other, ...fields }));
  }

  return of(root, 0);
}

interface Schema extends Json {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Json[];
  readonly oneOf?: readonly Json[];
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Json>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: Json | boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
}

function resolve(root: Json, ref: string): Json {
  const steps = ref.replace(/^#\/?/, "").split("/").filter(Boolean);
  return steps.reduce((value, step) => value[step] as Json, root);
}

function number({ type, minimum, maximum, exclusiveMinimum }: Schema): fc.Arbitrary<number> {
  const [low, high] = [minimum ?? exclusiveMinimum ?? -1000, maximum ?? 1000];
  const whole = fc.integer({
    min: Math.ceil(Math.max(low, -(2 ** 31))),
    max: Math.floor(Math.min(high, 2 ** 31 - 1)),
  });
  const edges = fc.constantFrom(low, high);
  return type === "integer"
    ? fc.oneof(whole, edges)
    : fc.oneof(whole, edges, fc.double({ min: low, max: high, noNaN: true }));
}

function string({ pattern, minLength = 0, maxLength }: Schema): fc.Arbitrary<string> {
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  return text.filter(
    ({ length }) => length >= minLength && length <= (maxLength ?? Number.POSITIVE_INFINITY),
  );
}

export interface OperationRequest {
  readonly method: string;
  /** The document's path. */
  readonly path: string;
  /** The path with its parameters filled in, and the query. */
  readonly address: string;
  readonly body?: unknown;
}

/** Requests of all operations of a document: path, query and body as their schemas say, but for the noise. */
export function requestOf({ paths }: OpenApi, options: BodyOptions): fc.Arbitrary<OperationRequest> {
  const { noise, field } = options;
  const parameterOf = ({ name, schema }: Parameter): fc.Arbitrary<unknown> =>
    bodyOf(schema, { noise, field: () => undefined }).chain((value) => {
      const special = field(name);
      return special
        ? fc.oneof({ weight: 9, arbitrary: special }, { weight: 1, arbitrary: fc.constant(value) })
        : fc.constant(value);
    });
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, { parameters = [], requestBody }]): fc.Arbitrary<OperationRequest> => {
        const schema = requestBody?.content["application/json"]?.schema;
        const inPath = parameters.filter((parameter) => parameter.in === "path");
        const inQuery = parameters.filter((parameter) => parameter.in === "query");
        return fc
          .record({
            filled: fc.tuple(...inPath.map(parameterOf)),
            asked: fc.tuple(
              ...inQuery.map((each) => fc.option(parameterOf(each), { nil: undefined, freq: 1 })),
            ),
            body: schema ? bodyOf(schema, options) : fc.constant(undefined),
          })
          .map(({ filled, asked, body }) => {
            const place = inPath.reduce(
              (text, { name }, i) => text.replace(`{${name}}`, () => encodeURIComponent(printed(filled[i]))),
              path,
            );
            const query = new URLSearchParams(
              inQuery.flatMap(({ name }, i) =>
                [asked[i] ?? []].flat().map((value) => [name, printed(value)] as [string, string]),
              ),
            );
            return { method, path, address: `${place}?${query}`, ...(schema && { body }) };
          });
      },
    ),
  );
  return fc.oneof(...operations);
}

function printed(value: unknown): string {
  return (typeof value === "string" ? value : (JSON.stringify(value) ?? "")).replace(
    /\p{Surrogate}/gu,
    "\ufffd",
  );
}

/** One of the document's paths, with something in the place of its parameter. */
export function pathOf(paths: readonly string[], parameter: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc.tuple(fc.constantFrom(...paths), parameter).map(([path, value]) => path.replace("{id}", value));
}
