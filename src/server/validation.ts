import type { z } from "zod";
import type { Limits } from "./context.ts";
import { ApiError } from "./errors.ts";

/**
 * The JSON of a request's body. Its size is limited ahead of this.
 *
 * @throws ApiError 415 or 400 if it isn't JSON, is nested deeper or has more values than the limits allow
 */
export async function readJson(
  request: Request,
  { jsonDepth, jsonValues }: Pick<Limits, "jsonDepth" | "jsonValues">,
): Promise<unknown> {
  const type = request.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/json") {
    throw new ApiError(415, "The body must be JSON: send it with Content-Type: application/json.", {
      code: "unsupported_media_type",
    });
  }
  const bytes = await request.arrayBuffer().catch((cause: unknown) => {
    if (cause instanceof ApiError) throw cause; // of the limit of its size
    throw new ApiError(400, "The body broke off.", { code: "invalid_json", cause });
  });
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ApiError(400, "The body isn't UTF-8.", { code: "invalid_json", cause });
  }
  const { depth, values } = shapeOf(text);
  if (depth > jsonDepth)
    throw new ApiError(400, `The body is nested deeper than ${jsonDepth} levels.`, { code: "invalid_json" });
  if (values > jsonValues)
    throw new ApiError(400, `The body has more than ${jsonValues} values.`, { code: "invalid_json" });
  try {
    return JSON.parse(text);
  } catch (cause) {
    // the parser's own message quotes the body
    throw new ApiError(400, "The body isn't valid JSON.", { code: "invalid_json", cause });
  }
}

/** How deep a JSON text is nested, and how many values it has at most: each that is wrong costs the schemas' checker a report. */
function shapeOf(json: string): { readonly depth: number; readonly values: number } {
  let [depth, open, values] = [0, 0, 1];
  let inString = false;
  for (let i = 0; i < json.length; i++) {
    const char = json[i]!;
    if (inString) {
      if (char === "\\") i++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === ",") values++;
    else if (char === "{" || char === "[") {
      values++;
      depth = Math.max(depth, ++open);
    } else if (char === "}" || char === "]") open--;
  }
  return { depth, values };
}

/**
 * The body as the schema describes it; fields that it doesn't know are dropped, and null counts as left out.
 *
 * @throws ApiError naming the first field that is wrong
 */
export function parseBody<T>(schema: z.ZodType<T>, json: unknown): T {
  const parsed = schema.safeParse(withoutNulls(json));
  if (parsed.success) return parsed.data;
  const { path, message, code } = innermost(parsed.error.issues[0]!);
  const param = pathText(path);
  throw new ApiError(400, `${param === "" ? "The body" : `'${param}'`}: ${message}.`, {
    param,
    code:
      code === "invalid_type" && message.includes("undefined")
        ? "missing_required_parameter"
        : "invalid_value",
  });
}

/** OpenAI's clients send null for what isn't set. Only fields of the request itself: within, null may be a value. */
function withoutNulls(json: unknown): unknown {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return json;
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null));
}

type Issue = z.core.$ZodIssue;

/** Of a union's branches, what the one says that got furthest into the value. */
function innermost(issue: Issue): Issue {
  if (issue.code !== "invalid_union") return issue;
  const all = issue.errors
    .flat()
    .map((inner) => innermost({ ...inner, path: [...issue.path, ...inner.path] }));
  const deepest = all.reduce<Issue | undefined>(
    (best, each) => (best && best.path.length >= each.path.length ? best : each),
    undefined,
  );
  return deepest && deepest.path.length > issue.path.length ? deepest : issue;
}

function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((step, i) => (typeof step === "number" ? `[${step}]` : i === 0 ? String(step) : `.${String(step)}`))
    .join("");
}
