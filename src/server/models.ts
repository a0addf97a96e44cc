import { Hono } from "hono";
import { findModel, type ServedModel, type ServerContext, type ServerEnv } from "./context.ts";

export function modelRoutes(context: ServerContext): Hono<ServerEnv> {
  return new Hono<ServerEnv>()
    .get("/v1/models", (c) =>
      c.json({ object: "list", data: context.served.map((served) => modelObject(served, context)) }),
    )
    .get("/v1/models/:name{.+}", (c) =>
      c.json(modelObject(findModel(context, c.req.param("name")), context)),
    );
}

/** OpenAI's model object, and what else pages and programs like to know: other names, context, tools that the server runs. */
function modelObject({ id, aliases, created, model }: ServedModel, { builtInTools }: ServerContext): object {
  const { maxContextLength: context_length } = model.config;
  const tools = builtInTools.names;
  return { id, object: "model", created, owned_by: "gpt-oss-ts", aliases, context_length, tools };
}
