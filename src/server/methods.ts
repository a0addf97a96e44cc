import type { Hono } from "hono";
import type { ServerEnv } from "./context.ts";

/** Methods that routes have for a path, in capitals; none if there is nothing at all. */
export function methodsOf(app: Hono<ServerEnv>, path: string): string[] {
  const methods = app.routes
    .filter(({ method, path: pattern }) => method !== "ALL" && patternOf(pattern).test(path))
    .map(({ method }) => method);
  return [...new Set(methods)];
}

/** `/v1/models/:name{.+}` as a regular expression. */
function patternOf(route: string): RegExp {
  const source = route.replace(
    /:\w+(?:\{([^}]*)\})?|[.*+?^$()[\]|\\]/g,
    (match, inner: string | undefined) => {
      if (match === "*") return ".*";
      return match.startsWith(":") ? (inner ?? "[^/]+") : `\\${match}`;
    },
  );
  return new RegExp(`^${source}$`);
}
