import { Hono } from "hono";
import { findModel, type ServedModel, type ServerContext, type ServerEnv } from "./context.ts";

export function modelRoutes(context: ServerContext): Hono<ServerEnv> {
  return new Hono<ServerEnv>()
    .get("/v1/models", (c) => c.json({ object: "list", data: context.served.map(modelObject) }))
    .get("/v1/models/:name{.+}", (c) => c.json(modelObject(findModel(context, c.req.param("name")))));
}

function modelObject({ id, aliases, created, model }: ServedModel): object {
  const { maxContextLength } = model.config;
  return { id, object: "model", created, owned_by: "gpt-oss-ts", aliases, context_length: maxContextLength };
}
