import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { chatRoutes } from "./chat-completions.ts";
import { completionRoutes } from "./completions.ts";
import { logFailure, type ServerContext, type ServerEnv } from "./context.ts";
import { ApiError, toApiError } from "./errors.ts";
import { healthRoutes } from "./health.ts";
import { methodsOf } from "./methods.ts";
import { metricsRoutes } from "./metrics.ts";
import { modelRoutes } from "./models.ts";
import { observe } from "./observe.ts";
import { openapiRoutes } from "./openapi.ts";
import { pageRoutes } from "./page/routes.ts";
import { responsesRoutes } from "./responses/index.ts";
import { type AccessOptions, checkHost, checkKey, checkOrigin, identify } from "./security.ts";

/** The whole server as one handler. */
export function createApp(context: ServerContext, access: AccessOptions): Hono<ServerEnv> {
  const app = new Hono<ServerEnv>();
  app.use(observe(context));
  app.use(checkHost(access));
  app.use(checkOrigin(access));
  app.use(
    cors({
      origin: access.origins.includes("*") ? "*" : [...access.origins],
      exposeHeaders: ["x-request-id", "retry-after"],
      allowMethods: ["GET", "POST", "DELETE"],
    }),
  );
  app.use(identify(access));
  for (const path of ["/v1/*", "/metrics"]) app.use(path, checkKey(access));
  app.use(
    bodyLimit({
      maxSize: context.limits.bodyBytes,
      onError: () => {
        const message = `The body is larger than ${context.limits.bodyBytes} bytes.`;
        throw new ApiError(413, message, { code: "request_too_large" });
      },
    }),
  );

  app.route("/", healthRoutes(context));
  app.route("/", metricsRoutes(context));
  app.route("/", modelRoutes(context));
  app.route("/", openapiRoutes(context));
  app.route("/", pageRoutes());
  app.route("/", chatRoutes(context));
  app.route("/", completionRoutes(context));
  app.route("/", responsesRoutes(context));

  app.notFound((c) => {
    const allowed = methodsOf(app, c.req.path);
    if (allowed.length > 0) {
      return new ApiError(405, `${c.req.path} takes ${allowed.join(", ")}.`, {
        code: "method_not_allowed",
        headers: { allow: allowed.join(", ") },
      }).toResponse();
    }
    return new ApiError(404, "There is nothing at this address.", { code: "not_found" }).toResponse();
  });
  app.onError((error) => {
    const apiError = toApiError(error);
    logFailure(context, apiError);
    return apiError.toResponse();
  });
  return app;
}
