import { openingMessages } from "../agent/prompt.ts";
import type { GenerateOptions } from "../generation/generate.ts";
import type { StructuredOptions } from "../generation/structured.ts";
import { type Grammar, GrammarError, jsonSchemaGrammar } from "../grammar/index.ts";
import type { JsonSchema, Message, ReasoningEffort, ResponseFormat } from "../harmony/index.ts";
import { resolveRecipient } from "../harmony/index.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import { limitTokens } from "../tokenizer/limit.ts";
import type { Tool } from "../tools/tool.ts";
import { type Limits, type ServedModel, tokenizerOf } from "./context.ts";
import { ApiError, invalid } from "./errors.ts";

/*
 * What chat completions and responses have in common: from what a request asks for to what the model is told and held to.
 */

/** A function of the client's, which calls it itself. */
export interface FunctionDeclaration {
  readonly name: string;
  /** Where it isn't `functions`, as of all others. */
  readonly namespace?: { readonly name: string; readonly description?: string } | undefined;
  readonly description: string;
  readonly parameters?: JsonSchema | undefined;
  /** Whether arguments must be held to the schema; without it they are where that is possible. */
  readonly strict: boolean;
  /** Where it stands in the request, for errors. */
  readonly param: string;
}

/** Which functions the model may or must call. */
export interface CallChoice {
  readonly mode: "none" | "auto" | "required";
  /** Only these of the declared functions; all, if left out. */
  readonly names?: readonly string[];
}

/** What the answer has to be. */
export type AnswerFormat =
  | { readonly type: "text" }
  | { readonly type: "json_object" }
  | {
      readonly type: "json_schema";
      readonly name: string;
      readonly description?: string | undefined;
      readonly schema: JsonSchema;
      /** Where the schema stands in the request, for errors. */
      readonly param: string;
    };

/** What a conversation opens with. */
export interface OpeningOptions {
  readonly effort: ReasoningEffort;
  readonly date: string | undefined;
  /** All that `system` and `developer` messages said. */
  readonly instructions: readonly string[];
  readonly functions: readonly FunctionDeclaration[];
  readonly format: AnswerFormat;
  /** Tools that the server runs. */
  readonly builtIn?: readonly Tool[];
}

/** The system message, and a developer message if there is anything to say in it. */
export function openingOf(options: OpeningOptions): Message[] {
  const { effort, date, instructions, functions, format, builtIn = [] } = options;
  return openingMessages({
    effort,
    date,
    instructions: instructions.length > 0 ? instructions.join("\n\n") : undefined,
    tools: [...builtIn, ...functions.map(asTool)],
    responseFormat: toldFormat(format),
  });
}

/** A function as agents see tools; the client runs it, so nobody calls it here. */
export function asTool({ name, namespace, description, parameters }: FunctionDeclaration): Tool {
  return {
    namespace: {
      ...(namespace ?? { name: "functions" }),
      tools: [{ name, description, ...(parameters !== undefined && { parameters }) }],
    },
    placement: "developer",
    call: () => Promise.reject(new Error("the client calls its own functions")),
  };
}

function toldFormat(format: AnswerFormat): ResponseFormat | undefined {
  if (format.type === "text") return undefined;
  if (format.type === "json_object") return { name: "json_object", schema: ANY_OBJECT };
  const { name, description, schema } = format;
  return { name, schema, ...(description !== undefined && { description }) };
}

const ANY_OBJECT: JsonSchema = { type: "object" };

/**
 * What the model is held to, token by token.
 *
 * @throws ApiError 400 naming the keyword of a schema that can't be enforced and has to be
 */
export function formatsOf(
  functions: readonly FunctionDeclaration[],
  choice: CallChoice,
  format: AnswerFormat,
  limits: Limits,
): StructuredOptions {
  const callable = callableOf(functions, choice);
  const callFormats = new Map<string, Grammar>();
  for (const { name, namespace, parameters, strict, param } of callable) {
    const grammar = argumentsGrammar(parameters, strict, `${param}.parameters`, limits);
    if (grammar) callFormats.set(recipientOf(name, namespace?.name), grammar);
  }
  const responseFormat =
    format.type === "text"
      ? undefined
      : format.type === "json_object"
        ? grammarOf(ANY_OBJECT, "response_format", limits)
        : grammarOf(format.schema, format.param, limits);
  return {
    ...(responseFormat && { responseFormat }),
    ...(callFormats.size > 0 && { callFormats }),
    ...(functions.length > 0 && {
      recipients: callable.map(({ name, namespace }) => recipientOf(name, namespace?.name)),
    }),
    ...(choice.mode === "required" && { mustCall: true }),
  };
}

/** @throws ApiError 400 if the choice names a function that isn't declared, or requires one where there is none */
function callableOf(
  functions: readonly FunctionDeclaration[],
  { mode, names }: CallChoice,
): readonly FunctionDeclaration[] {
  const unknown = names?.find((name) => functions.every((each) => each.name !== name));
  if (unknown !== undefined)
    throw invalid(
      "tool_choice",
      `'tool_choice' names '${unknown.slice(0, 64)}', which isn't among the tools.`,
    );
  if (mode === "none") return [];
  const callable = names ? functions.filter(({ name }) => names.includes(name)) : functions;
  if (mode === "required" && callable.length === 0)
    throw invalid("tool_choice", "'tool_choice' requires a call, and there is no function to call.");
  return callable;
}

function argumentsGrammar(
  parameters: JsonSchema | undefined,
  strict: boolean,
  param: string,
  limits: Limits,
): Grammar | undefined {
  if (parameters === undefined) return grammarOf({ type: "object", maxProperties: 0 }, param, limits);
  const isObject = typeof parameters === "object" && parameters["type"] === "object";
  if (strict && !isObject)
    throw invalid(
      param,
      `'${param}': a strict function's parameters must have "type": "object".`,
      "invalid_function_parameters",
    );
  if (!isObject) return undefined;
  try {
    return grammarOf(parameters, param, limits);
  } catch (error) {
    if (strict || !(error instanceof ApiError && error.cause instanceof GrammarError)) throw error;
    return undefined;
  }
}

/** Grammars that were asked for lately, and what was learnt of them, by their schema's text. */
const grammars: Map<string, Grammar> = new Map();
const MAX_GRAMMARS = 64;

/** @throws ApiError 400 naming the keyword if the schema can't be enforced */
function grammarOf(schema: JsonSchema, param: string, { schemaCharacters }: Limits): Grammar {
  const text = JSON.stringify(schema);
  if (text.length > schemaCharacters) {
    throw invalid(
      param,
      `'${param}': a schema may have ${schemaCharacters} characters, this one has ${text.length}.`,
    );
  }
  let grammar = grammars.get(text);
  grammars.delete(text);
  try {
    grammar ??= jsonSchemaGrammar(schema);
  } catch (cause) {
    if (!(cause instanceof GrammarError)) throw cause;
    const keyword = cause.keyword === undefined ? "" : ` Keyword: ${cause.keyword}.`;
    throw new ApiError(400, `'${param}': ${cause.message}.${keyword}`, {
      param,
      code: "invalid_json_schema",
      cause,
    });
  }
  grammars.set(text, grammar);
  if (grammars.size > MAX_GRAMMARS) grammars.delete(grammars.keys().next().value!);
  return grammar;
}

/** How the model addresses a function. */
export function recipientOf(name: string, namespace?: string | null): string {
  return `${namespace ?? "functions"}.${name}`;
}

/** The name of the client's function that a message calls; as the model wrote it, if there is no such function. */
export function calledFunction(
  { role, recipient = "" }: Pick<Message, "role" | "recipient">,
  functions: readonly FunctionDeclaration[],
): string {
  const found = resolveRecipient({ role, recipient }, [
    { name: "functions", tools: functions.map(({ name }) => ({ name, description: "" })) },
  ]);
  return found?.tool?.name ?? recipient.split("<", 1)[0]!.replace(/^functions\./, "");
}

/** `none` and `minimal`, which gpt-oss doesn't have, mean the least; `xhigh` the most. */
export function effortOf(value: string | undefined, fallback: ReasoningEffort = "medium"): ReasoningEffort {
  if (value === undefined) return fallback;
  if (value === "none" || value === "minimal") return "low";
  if (value === "xhigh") return "high";
  return value as ReasoningEffort;
}

/** Values of reasoning effort that requests may have. */
export const EFFORTS: readonly ["none", "minimal", "low", "medium", "high", "xhigh"] = [
  "none",
  "minimal",
  "low",
  "medium",
  "high",
  "xhigh",
];

/**
 * How many tokens may be generated.
 *
 * @throws ApiError 400 context_length_exceeded if the prompt leaves no room for an answer
 */
export function maxTokensOf(
  { model }: ServedModel,
  { contextTokens }: Limits,
  promptTokens: number,
  asked: number | undefined,
  param: string,
): Pick<GenerateOptions, "maxTokens"> & { readonly maxTokens: number } {
  const context = Math.min(contextTokens, model.config.maxContextLength);
  if (promptTokens >= context) throw tooLong(context, String(promptTokens), param);
  return { maxTokens: Math.min(asked ?? Number.POSITIVE_INFINITY, context - promptTokens) };
}

/** The model's tokenizer, which refuses what certainly doesn't fit its context instead of encoding it. */
export function limitedTokenizer(served: ServedModel, { contextTokens }: Limits, param: string): Tokenizer {
  const context = Math.min(contextTokens, served.model.config.maxContextLength);
  return limitTokens(tokenizerOf(served), context, () => {
    throw tooLong(context, "more", param);
  });
}

function tooLong(context: number, found: string, param: string): ApiError {
  return new ApiError(
    400,
    `This model's context is ${context} tokens, and the request's '${param}' alone has ${found}. Shorten it.`,
    { param, code: "context_length_exceeded" },
  );
}
