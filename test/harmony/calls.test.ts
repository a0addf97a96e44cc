import { describe, expect, it } from "vitest";
import {
  BROWSER,
  functionTools,
  PYTHON,
  resolveRecipient,
  type ToolNamespace,
} from "../../src/harmony/index.ts";

const named = (...names: string[]) => names.map((name) => ({ name, description: "" }));
const ours = functionTools(named("get_weather", "open", "export_json", "json", "a.b"));
const mcp: ToolNamespace = { name: "mcp.server", tools: named("find", "list", "get_weather") };
const all = [mcp, BROWSER, PYTHON, ours];

function resolve(recipient: string, namespaces: readonly ToolNamespace[] = all): string | undefined {
  const call = resolveRecipient({ role: "assistant", recipient }, namespaces);
  return call && [call.namespace.name, call.tool?.name].join(" / ");
}

describe("a recipient", () => {
  it.each([
    ["functions.get_weather", "functions / get_weather"],
    ["browser.open", "browser / open"],
    ["mcp.server.list", "mcp.server / list"],
    ["python", "python / "],
    // Left out: the namespace. Functions go first, then what only one namespace has.
    ["get_weather", "functions / get_weather"],
    ["open", "functions / open"],
    ["search", "browser / search"],
    ["a.b", "functions / a.b"],
    ["find", undefined],
    // Put ahead: functions.
    ["functions.browser.search", "browser / search"],
    ["functions.python", "python / "],
    ["functions.search", "browser / search"],
    // Glued on: the content type, unless it belongs to the name.
    ["functions.get_weatherjson", "functions / get_weather"],
    ["pythoncode", "python / "],
    ["get_weatherjson", "functions / get_weather"],
    ["functions.export_json", "functions / export_json"],
    ["functions.json", "functions / json"],
    // Glued on: a control token.
    ["functions.get_weather<|channel|>commentary", "functions / get_weather"],
    ["functions.get_weather <|constrain|>json", "functions / get_weather"],
    // None of them.
    ["assistant", undefined],
    ["all", undefined],
    ["", undefined],
    ["functions", undefined],
    ["functions.", undefined],
    ["functions.unknown", undefined],
    ["browser", undefined],
    ["<|constrain|>json", undefined],
    ["python.run", undefined],
    ["toString", undefined],
    ["__proto__", undefined],
    ["Functions.get_weather", undefined],
  ])("%s", (recipient, expected) => {
    expect(resolve(recipient)).toBe(expected);
  });

  it("is nobody where no tools are", () => {
    expect(resolve("functions.get_weather", [])).toBeUndefined();
  });

  it("calls only in messages of the assistant that have one", () => {
    expect(resolveRecipient({ role: "assistant" }, all)).toBeUndefined();
    expect(resolveRecipient({ role: "tool", recipient: "python" }, all)).toBeUndefined();
    expect(resolveRecipient({ role: "user", recipient: "python" }, all)).toBeUndefined();
  });
});
