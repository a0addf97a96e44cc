import { Hono } from "hono";
import { logFailure, type RequestInfo, type ServerContext, type ServerEnv } from "../context.ts";
import { ApiError, toApiError } from "../errors.ts";
import { type ServerSentEvent, sseResponse } from "../sse.ts";
import type { ResponseStore, StoredResponse } from "../store/store.ts";
import { parseBody, readJson } from "../validation.ts";
import { Creation } from "./create.ts";
import { EventLogs } from "./event-log.ts";
import type { ResponseEvent } from "./output-items.ts";
import { shownItem, withOutput } from "./response.ts";
import { createResponseSchema, listQuerySchema, retrieveQuerySchema } from "./schemas.ts";

/** `/v1/responses`. */
export function responsesRoutes(context: ServerContext): Hono<ServerEnv> {
  /** What this process is working on, to be cancelled. */
  const running = new Map<string, Creation>();
  const logs = new EventLogs();

  async function stored(
    id: string,
    { owner }: RequestInfo,
  ): Promise<{ store: ResponseStore; response: StoredResponse }> {
    const store = await context.store();
    const response = await store.get(id, owner);
    if (response) return { store, response };
    throw new ApiError(404, `Response with id '${id.slice(0, 100)}' not found.`, { param: "id" });
  }

  async function shown(id: string, info: RequestInfo, include: readonly string[]): Promise<object> {
    const { store, response } = await stored(id, info);
    const items = await store.items(id, "output");
    return withOutput(
      response,
      items.map(({ item }) => item),
      include,
    );
  }

  return new Hono<ServerEnv>()
    .post("/v1/responses", async (c) => {
      const info = c.get("info");
      const request = parseBody(createResponseSchema, await readJson(c.req.raw, context.limits));
      const creation = await Creation.begin(context, info, request);
      const { id } = creation.response;
      running.set(id, creation);
      void creation.ended.then(() => running.delete(id));
      if (request.background && !request.stream) {
        creation.runInBackground();
        return c.json(withOutput(creation.response, [], request.include));
      }
      if (request.stream) {
        const events = numbered(creation.run(), context);
        const sent = request.background ? logs.keep(id, events).after(-1) : events;
        return sseResponse(info, sent, { onError: () => [] });
      }
      return c.json(await creation.result());
    })
    .get("/v1/responses/:id", async (c) => {
      const { include, stream, starting_after } = parseBody(retrieveQuerySchema, query(c.req.queries()));
      const [id, info] = [c.req.param("id"), c.get("info")];
      if (stream === "false") return c.json(await shown(id, info, include));
      await stored(id, info);
      const log = logs.get(id);
      if (log) return sseResponse(info, log.after(starting_after ?? -1), { onError: () => [] });
      throw new ApiError(
        400,
        "Only a response of `background` and `stream` that is under way, or ended lately, can be streamed again: retrieve it without stream.",
        { param: "stream", code: "unsupported_value" },
      );
    })
    .delete("/v1/responses/:id", async (c) => {
      const id = c.req.param("id");
      const info = c.get("info");
      const { store } = await stored(id, info);
      running.get(id)?.cancel();
      logs.forget(id);
      await store.delete(id, info.owner);
      return c.json({ id, object: "response", deleted: true });
    })
    .post("/v1/responses/:id/cancel", async (c) => {
      const id = c.req.param("id");
      const { response } = await stored(id, c.get("info"));
      if (response["background"] !== true)
        throw new ApiError(400, "Only a response of `background: true` can be cancelled.", { param: "id" });
      const creation = running.get(id);
      creation?.cancel();
      await creation?.ended;
      return c.json(await shown(id, c.get("info"), []));
    })
    .get("/v1/responses/:id/input_items", async (c) => {
      const { order, limit, after, before, include } = parseBody(listQuerySchema, query(c.req.queries()));
      const id = c.req.param("id");
      const { store } = await stored(id, c.get("info"));
      let items = (await store.items(id, "input")).map(({ item }) => shownItem(item, include));
      if (order === "desc") items.reverse();
      const place = (name: string, itemId: string): number => {
        const index = items.findIndex((item) => item.id === itemId);
        if (index >= 0) return index;
        throw new ApiError(400, `No input item with id '${itemId.slice(0, 100)}'.`, { param: name });
      };
      if (before !== undefined) items = items.slice(0, place("before", before));
      if (after !== undefined) items = items.slice(place("after", after) + 1);
      const data = items.slice(0, limit);
      const ends = { first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null };
      return c.json({ object: "list", data, ...ends, has_more: items.length > limit });
    });
}

/** Events as they are sent, counted from 0. What goes wrong is the last of them. */
async function* numbered(
  events: AsyncIterable<ResponseEvent>,
  context: ServerContext,
): AsyncGenerator<ServerSentEvent, void, void> {
  let sequence_number = 0;
  const one = ({ type, ...fields }: ResponseEvent): ServerSentEvent => ({
    event: type,
    data: { type, sequence_number: sequence_number++, ...fields },
  });
  try {
    for await (const event of events) yield one(event);
  } catch (error) {
    const apiError = toApiError(error);
    logFailure(context, apiError);
    const { code, message, param } = apiError;
    yield one({ type: "error", code, message, param });
  }
}

/** A parameter that comes once is a string, `include[]` and what comes several times an array. */
function query(queries: Readonly<Record<string, string[]>>): Record<string, unknown> {
  const entries = Object.entries(queries).map(([name, values]) => [
    name.replace(/\[\]$/, ""),
    values.length === 1 ? values[0] : values,
  ]);
  return Object.fromEntries(entries);
}
