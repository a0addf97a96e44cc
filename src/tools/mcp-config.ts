import { ConfigError } from "../errors.ts";

/** An MCP server: a program that talks over its standard input and output, or an address. */
export type McpServer =
  | {
      readonly command: string;
      readonly args?: readonly string[];
      /** Added to the few variables that a program needs; the rest of this process's environment isn't passed on. */
      readonly env?: Readonly<Record<string, string>>;
      readonly cwd?: string;
    }
  | { readonly url: string; readonly headers?: Readonly<Record<string, string>> };

export interface NamedMcpServer {
  readonly name: string;
  readonly server: McpServer;
}

/**
 * The servers that a file names in the widespread form `{"mcpServers": {"name": {"command": …, "args": […], "env": {…}}}}`, or
 * with `"url"` and `"headers"`; those with `"disabled": true` are left out, unknown keys are passed over. Takes the file's text
 * or what it holds. Throws ConfigError.
 */
export function readMcpConfig(json: unknown, where = "MCP configuration"): readonly NamedMcpServer[] {
  let config = json;
  if (typeof json === "string") {
    try {
      config = JSON.parse(json);
    } catch (cause) {
      throw new ConfigError("not valid JSON", { where, found: String(cause), cause });
    }
  }
  const servers = record(record(config, where)["mcpServers"], `${where}, mcpServers`);
  return Object.entries(servers).flatMap(([name, entry]) => {
    const place = `${where}, mcpServers.${name}`;
    const fields = record(entry, place);
    if (fields["disabled"] === true) return [];
    return [{ name, server: serverFrom(fields, place) }];
  });
}

function serverFrom(
  { command, args, env, cwd, url, headers }: Record<string, unknown>,
  where: string,
): McpServer {
  if (typeof url === "string" && command === undefined) {
    if (!/^https?:/i.test(url) || !URL.canParse(url)) {
      throw new ConfigError("not an http address", { where: `${where}.url`, found: url });
    }
    return { url, ...(headers !== undefined && { headers: strings(headers, `${where}.headers`) }) };
  }
  if (typeof command !== "string" || url !== undefined) {
    throw new ConfigError("a server has either a command or a url", { where });
  }
  if (args !== undefined && !(Array.isArray(args) && args.every((arg) => typeof arg === "string"))) {
    throw new ConfigError("arguments are a list of texts", { where: `${where}.args` });
  }
  return {
    command,
    ...(args !== undefined && { args }),
    ...(env !== undefined && { env: strings(env, `${where}.env`) }),
    ...(typeof cwd === "string" && { cwd }),
  };
}

function record(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new ConfigError("not an object", { where });
}

function strings(value: unknown, where: string): Record<string, string> {
  const entries = record(value, where);
  for (const [key, text] of Object.entries(entries)) {
    if (typeof text !== "string") throw new ConfigError("not a text", { where: `${where}.${key}` });
  }
  return entries as Record<string, string>;
}
