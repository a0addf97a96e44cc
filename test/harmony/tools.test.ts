import { describe, expect, it } from "vitest";
import {
  BROWSER,
  developerMessage,
  functionTools,
  HarmonyError,
  type JsonSchema,
  PYTHON,
  renderConversation,
  renderMessage,
  renderText,
  schemaToTypeScript,
  systemMessage,
} from "../../src/harmony/index.ts";
import { tokenizer } from "./stream.ts";

describe("tools in the prompt", () => {
  it("are told as the documentation of the format shows", () => {
    const text = renderText([
      systemMessage({ tools: [PYTHON] }),
      developerMessage("Be brief.", {
        tools: [
          functionTools([
            {
              name: "get_current_weather",
              description: "Gets the current weather in the provided location.",
              parameters: {
                type: "object",
                properties: {
                  location: { type: "string", description: "The city and state, e.g. San Francisco, CA" },
                  format: { type: "string", enum: ["celsius", "fahrenheit"], default: "celsius" },
                },
                required: ["location"],
              },
            },
          ]),
        ],
        responseFormats: [{ name: "report", description: "A report.", schema: { type: "object" } }],
      }),
    ]);
    expect(text).toContain("\n\n# Tools\n\n## python\n\nUse this tool to execute Python code");
    expect(text).toContain(
      "for every message.\nCalls to these tools must go to the commentary channel: 'functions'.<|end|>",
    );
    expect(text.slice(text.indexOf("# Instructions"))).toBe(`# Instructions

Be brief.

# Tools

## functions

namespace functions {

// Gets the current weather in the provided location.
type get_current_weather = (_: {
// The city and state, e.g. San Francisco, CA
location: string,
format?: "celsius" | "fahrenheit", // default: celsius
}) => any;

} // namespace functions

# Response Formats

## report

// A report.
{"type":"object"}<|end|>`);
  });

  it("may not share a namespace", () => {
    expect(() => renderText([systemMessage({ tools: [PYTHON, BROWSER, PYTHON] })])).toThrow(
      "two tool namespaces have the same name",
    );
  });

  it("let the system message say where calls go, also if it's rendered alone", () => {
    const rule = "Calls to these tools must go to the commentary channel: 'functions'.";
    const system = systemMessage();
    expect(tokenizer.decode(renderMessage(tokenizer, system))).not.toContain(rule);
    expect(tokenizer.decode(renderMessage(tokenizer, system, { withFunctions: true }))).toContain(rule);
  });

  it("don't change the plain call for a developer message", () => {
    expect(renderText([developerMessage("Hi")])).toBe(
      "<|start|>developer<|message|># Instructions\n\nHi<|end|>",
    );
  });
});

describe("a schema", () => {
  it("is told the same as an object and as text, as far as objects keep it", () => {
    const schema = {
      type: "object",
      properties: { a: { type: "number", default: 1 }, "7": { type: "null" } },
    };
    expect(schemaToTypeScript(schema)).toBe("{\n7?: any,\na?: number, // default: 1\n}");
    expect(
      schemaToTypeScript('{"type":"object","properties":{"a":{"type":"number","default":1.0},"7":{}}}'),
    ).toBe("{\na?: number, // default: 1.0\n7?: any,\n}");
  });

  it.each<[string, unknown]>([
    ["of text that isn't JSON", "{"],
    ["of no text", ""],
    ["of text with more behind", "{} {}"],
    ["of a comment", "{} // x"],
    ["with a number out of range", '{"default":1e999}'],
    ["of big integers", { default: 10n }],
    ["that is too deep, as text", "[".repeat(200_000) + "]".repeat(200_000)],
    ["that is too deep, as unclosed text", '{"items":'.repeat(100_000)],
    ["that is a little too deep", `${'{"items":'.repeat(129)}1${"}".repeat(129)}`],
    ["that is too long", `"${"x".repeat(2 ** 20)}"`],
    ["that is too long, as an object", { description: "x".repeat(2 ** 20) }],
    ["that throws", { get type() { throw new Error("no"); } }], // biome-ignore format: one line is plainer
  ])("%s is refused", (_, schema) => {
    const tools = [functionTools([{ name: "f", description: "", parameters: schema as JsonSchema }])];
    expect(() => schemaToTypeScript(schema as JsonSchema)).toThrow(HarmonyError);
    expect(() => renderConversation(tokenizer, [developerMessage("x", { tools })])).toThrow(
      /the parameters of f/,
    );
  });

  it("of text without end is refused in no time, as are cycles, depth and parts that multiply", () => {
    const cycle: Record<string, unknown> = { type: "array" };
    cycle["items"] = cycle;
    let deep: Record<string, unknown> = {};
    for (let i = 0; i < 100_000; i++) deep = { items: deep };
    let wide: unknown = {};
    for (let i = 0; i < 60; i++) wide = { a: wide, b: wide };
    const endless: unknown = new Proxy(
      {},
      {
        ownKeys: () => ["a"],
        getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }),
        get: () => endless,
      },
    );
    const start = performance.now();
    for (const schema of [cycle, deep, wide, endless])
      expect(() => schemaToTypeScript(schema as JsonSchema)).toThrow(HarmonyError);
    expect(performance.now() - start).toBeLessThan(5000);
  });

  it("may be long, deep and full of escapes", () => {
    const long = String.raw`"\u0041\"\\"`.slice(1, -1).repeat(80_000);
    expect(schemaToTypeScript(`{"oneOf":[{"default":"${long}"}]}`)).toBe(
      `\n | any // default: "${'A"\\'.repeat(80_000)}"`,
    );
    expect(schemaToTypeScript(`${'{"type":"array","items":'.repeat(128)}1${"}".repeat(128)}`)).toBe(
      `any${"[]".repeat(128)}`,
    );
  });

  it("doesn't reach into JavaScript's own properties", () => {
    const odd =
      '{"type":"object","properties":{"__proto__":{"type":"string"},"constructor":{}},"required":["toString"]}';
    expect(schemaToTypeScript(odd)).toBe("{\n__proto__?: string,\nconstructor?: any,\n}");
    expect(schemaToTypeScript(JSON.parse(odd) as JsonSchema)).toBe(
      "{\n__proto__?: string,\nconstructor?: any,\n}",
    );
    expect(schemaToTypeScript('{"type":"constructor"}')).toBe("any");
  });
});

describe("time", () => {
  const time = (run: () => void): number => {
    const times = Array.from({ length: 7 }, () => {
      const start = performance.now();
      run();
      return performance.now() - start;
    });
    return Math.min(...times);
  };
  const properties = (count: number) =>
    JSON.stringify({
      type: "object",
      properties: Object.fromEntries(
        Array.from({ length: count }, (_, i) => [
          `property_${i}`,
          { type: "string", description: `The ${i}th \\"one\\"`, default: "\n" },
        ]),
      ),
    });

  it("grows with the length of a schema, not with its square", () => {
    const [small, large] = [properties(500), properties(8000)]; // 16 times as long
    expect(time(() => schemaToTypeScript(large)) / time(() => schemaToTypeScript(small))).toBeLessThan(100);
  });

  it("of a schema of 200 properties and a message of 100 KB is short", () => {
    const tools = [functionTools([{ name: "f", description: "", parameters: properties(200) }])];
    const long = "The quick brown fox jumps over the lazy dog. ".repeat(2300);
    expect(time(() => renderConversation(tokenizer, [developerMessage("x", { tools })]))).toBeLessThan(500);
    expect(time(() => renderConversation(tokenizer, [{ role: "user", content: long }]))).toBeLessThan(500);
  });
});
