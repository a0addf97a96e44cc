import { Hono } from "hono";
import { z } from "zod";
import { chatBody } from "./chat-schema.ts";
import { completionBody } from "./completions.ts";
import type { ServerContext, ServerEnv } from "./context.ts";
import { ANSWERS } from "./openapi-answers.ts";
import { createResponseSchema, listQuerySchema, retrieveQuerySchema } from "./responses/index.ts";

/** One route, as the document describes it. */
interface Operation {
  readonly method: "get" | "post" | "delete";
  /** With parameters as `{id}`. */
  readonly path: string;
  readonly summary: string;
  readonly body?: z.ZodType;
  /** Of its parameters behind the question mark. */
  readonly query?: z.ZodType;
  /** Of the answer; `application/json` by default. */
  readonly contentTypes?: readonly string[];
  /** Whether it is open to all, with or without a key. */
  readonly open?: boolean;
}

const STREAMABLE: readonly string[] = ["application/json", "text/event-stream"];

const OPERATIONS: readonly Operation[] = [
  {
    method: "post",
    path: "/v1/chat/completions",
    summary: "Answer a conversation",
    body: chatBody,
    contentTypes: STREAMABLE,
  },
  {
    method: "post",
    path: "/v1/completions",
    summary: "Go on with raw text or token ids",
    body: completionBody,
    contentTypes: STREAMABLE,
  },
  {
    method: "post",
    path: "/v1/responses",
    summary: "Answer, and keep the answer",
    body: createResponseSchema,
    contentTypes: STREAMABLE,
  },
  {
    method: "get",
    path: "/v1/responses/{id}",
    summary: "A kept response",
    query: retrieveQuerySchema,
    contentTypes: STREAMABLE,
  },
  { method: "delete", path: "/v1/responses/{id}", summary: "Forget a response" },
  { method: "post", path: "/v1/responses/{id}/cancel", summary: "Stop a response under way" },
  {
    method: "get",
    path: "/v1/responses/{id}/input_items",
    summary: "What a response answered",
    query: listQuerySchema,
  },
  { method: "get", path: "/v1/models", summary: "The models that are served" },
  { method: "get", path: "/v1/models/{id}", summary: "One model" },
  { method: "get", path: "/health", summary: "Whether requests are taken", open: true },
  { method: "get", path: "/metrics", summary: "Counters for Prometheus", contentTypes: ["text/plain"] },
  { method: "get", path: "/openapi.json", summary: "This document", open: true },
];

const ERROR = {
  type: "object",
  properties: {
    error: {
      type: "object",
      properties: {
        message: { type: "string" },
        type: { enum: ["invalid_request_error", "rate_limit_exceeded", "server_error"] },
        param: { type: ["string", "null"], description: "The field of the request that is at fault" },
        code: { type: ["string", "null"] },
      },
      required: ["message", "type", "param", "code"],
    },
  },
  required: ["error"],
};

/**
 * The OpenAPI 3.1 document, from the schemas that requests are checked by.
 *
 * @param models names that requests may give
 */
export function openapiDocument(models: readonly string[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of OPERATIONS) {
    const { method, path } = operation;
    paths[path] = { ...paths[path], [method]: operationObject(operation, models) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "gpt-oss in TypeScript", version: "1", description: "OpenAI's HTTP API over gpt-oss" },
    paths,
    components: {
      schemas: { Error: ERROR },
      securitySchemes: { key: { type: "http", scheme: "bearer" } },
    },
  };
}

function operationObject(
  { method, path, summary, body, query, contentTypes = ["application/json"], open }: Operation,
  models: readonly string[],
): object {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const { properties = {} } = query ? (jsonSchemaOf(query) as { properties?: Record<string, object> }) : {};
  const inQuery = Object.entries(properties).map(([name, schema]) => ({ name, in: "query", schema }));
  const parameters = [...inPath, ...inQuery];
  const answer = ANSWERS[`${method} ${path}`];
  const schema = answer && jsonSchemaOf(answer, "output");
  const content = Object.fromEntries(
    contentTypes.map((type) => [type, schema && type === "application/json" ? { schema } : {}]),
  );
  return {
    summary,
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: { required: true, content: { "application/json": { schema: bodySchema(body, models) } } },
    }),
    responses: {
      "200": { description: "Success", content },
      default: {
        description: "An error",
        content: { "application/json": { schema: { $ref: "#/components/schemas/Error" } } },
      },
    },
    security: open ? [] : [{ key: [] }, {}],
  };
}

function bodySchema(body: z.ZodType, models: readonly string[]): object {
  const { properties, ...schema } = jsonSchemaOf(body) as { readonly properties: object };
  return { ...schema, properties: { ...properties, model: { type: "string", enum: models } } };
}

function jsonSchemaOf(body: z.ZodType, io: "input" | "output" = "input"): object {
  const { $schema: _, ...schema } = z.toJSONSchema(body, { target: "draft-2020-12", io });
  return schema;
}

export function openapiRoutes({ served }: ServerContext): Hono<ServerEnv> {
  let document: object | undefined;
  return new Hono<ServerEnv>().get("/openapi.json", (c) => {
    document ??= openapiDocument(served.flatMap(({ id, aliases }) => [id, ...aliases]));
    return c.json(document);
  });
}
