import { UsageError } from "../errors.ts";
import type { JsonSchema } from "../harmony/index.ts";
import { messageOf, orAborted, parseArguments } from "./arguments.ts";
import type { Tool, ToolCall, ToolContext, ToolResult } from "./tool.ts";

/**
 * A schema of a library that follows Standard Schema (https://standardschema.dev) and writes itself down as JSON Schema, such
 * as zod 4.2 and later.
 */
export interface SchemaObject<T> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly types?: { readonly input: unknown; readonly output: T } | undefined;
    validate(value: unknown): Validated<T> | Promise<Validated<T>>;
    readonly jsonSchema?: { input(options: { readonly target: string }): Readonly<Record<string, unknown>> };
  };
}

type Validated<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] };

interface Issue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

export interface FunctionOptions<T> {
  /** Letters, digits, `_` and `-`, at most 64. */
  readonly name: string;
  readonly description: string;
  /** What the function takes: a JSON Schema of an object, or a zod schema. Without it, nothing. */
  readonly parameters?: SchemaObject<T> | JsonSchema;
  /** Gives a text, or a value that is shown as JSON. What it throws, the model reads. */
  readonly execute: (args: T, context: ToolContext) => unknown;
  /** Milliseconds after which the model is told that there is no answer; no limit but the caller's if left out. */
  readonly timeoutMs?: number;
}

type Arguments = Readonly<Record<string, unknown>>;

const NAME = /^[\w-]{1,64}$/;
const MAX_PROBLEMS = 8;

/**
 * A function of one's own that the model may call. Arguments that don't fit the schema don't reach it: the model is told what is
 * wrong with them. Throws UsageError on a name that the model can't call, and on a schema that can't be written as JSON Schema.
 *
 *     functionTool({
 *       name: "get_weather",
 *       description: "Current weather in a city",
 *       parameters: z.object({ city: z.string() }),
 *       execute: ({ city }) => weatherOf(city),
 *     });
 */
export function functionTool<T = Arguments>({
  name,
  description,
  parameters,
  execute,
  timeoutMs,
}: FunctionOptions<T>): Tool {
  if (!NAME.test(name)) {
    throw new UsageError("a function's name is letters, digits, _ and -, at most 64", { found: name });
  }
  if (timeoutMs !== undefined && !(timeoutMs > 0))
    throw new UsageError("timeoutMs is out of range", {
      where: name,
      expected: "more than 0",
      found: timeoutMs,
    });
  const schema = isSchemaObject(parameters) ? jsonSchemaOf(parameters, name) : parameters;
  const validate = isSchemaObject(parameters) ? byStandard(parameters) : byJsonSchema<T>(parameters);

  return {
    namespace: {
      name: "functions",
      tools: [{ name, description, ...(schema !== undefined && { parameters: schema }) }],
    },
    placement: "developer",
    async call({ content }: ToolCall, context: ToolContext): Promise<ToolResult> {
      context.signal.throwIfAborted();
      const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
      const signal = timeout ? AbortSignal.any([context.signal, timeout]) : context.signal;
      try {
        const parsed = parseArguments(content);
        if (!parsed.ok) return { text: parsed.problem, isError: true };
        const validated = await validate(parsed.value);
        if (validated.issues) return { text: problemsOf(validated.issues), isError: true };
        const { value } = validated;
        const result = await orAborted((async () => execute(value, { signal }))(), signal);
        return { text: resultText(result) };
      } catch (error) {
        context.signal.throwIfAborted();
        if (timeout?.aborted)
          return { text: `No answer within ${timeoutMs! / 1000} seconds.`, isError: true };
        return { text: messageOf(error), isError: true };
      }
    },
  };
}

type Validate<T> = (value: Arguments) => Promise<Validated<T>>;

function isSchemaObject<T>(schema: SchemaObject<T> | JsonSchema | undefined): schema is SchemaObject<T> {
  return typeof schema === "object" && typeof Object(schema["~standard"]).validate === "function";
}

function jsonSchemaOf(schema: SchemaObject<unknown>, name: string): JsonSchema {
  const { jsonSchema, vendor } = schema["~standard"];
  if (!jsonSchema) {
    const hint = "zod does from 4.2 on; otherwise give the JSON Schema itself";
    throw new UsageError("a schema that can't be written as JSON Schema", {
      where: name,
      found: vendor,
      hint,
    });
  }
  try {
    const { $schema: _, ...rest } = jsonSchema.input({ target: "draft-2020-12" });
    return rest;
  } catch (cause) {
    throw new UsageError("a schema that can't be written as JSON Schema", {
      where: name,
      found: messageOf(cause),
      cause,
    });
  }
}

function byStandard<T>(schema: SchemaObject<T>): Validate<T> {
  return async (value) => schema["~standard"].validate(value);
}

/** Without generated code, so that it works where `eval` is forbidden. */
function byJsonSchema<T>(schema: JsonSchema | undefined): Validate<T> {
  if (schema === undefined) return async (value) => ({ value: value as T });
  let loading: Promise<(value: Arguments) => Validated<T>> | undefined;
  const load = async () => {
    const { Validator } = await import("@cfworker/json-schema");
    const validator = new Validator(schema as object | boolean, "2020-12", false);
    return (value: Arguments): Validated<T> => {
      const { valid, errors } = validator.validate(value);
      if (valid) return { value: value as T };
      // the innermost say what is wrong; the others, that something within is
      const innermost = errors.filter((error) => !errors.some((other) => isWithin(other, error)));
      return {
        issues: innermost.map(({ error, instanceLocation }) => ({
          message: error,
          path: instanceLocation.split("/").slice(1),
        })),
      };
    };
  };
  return async (value) => {
    loading ??= load();
    return (await loading)(value);
  };
}

interface SchemaError {
  readonly keywordLocation: string;
}

function isWithin(inner: SchemaError, outer: SchemaError): boolean {
  return inner !== outer && inner.keywordLocation.startsWith(`${outer.keywordLocation}/`);
}

function problemsOf(issues: readonly Issue[]): string {
  const lines = issues.slice(0, MAX_PROBLEMS).map(({ message, path = [] }) => {
    const where = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
    return where ? `${where}: ${message}` : message;
  });
  return messageOf(`The arguments don't fit:\n${lines.join("\n")}`);
}

function resultText(result: unknown): string {
  if (typeof result === "string") return result;
  return JSON.stringify(result) ?? "null";
}
