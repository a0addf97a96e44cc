import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { UsageError } from "../../src/errors.ts";
import { functionTool, type Tool, type ToolResult } from "../../src/tools/index.ts";

const RUNS = 300 * Number(process.env["FUZZ_RUNS"] ?? 1);
const never = new AbortController().signal;
const call = (tool: Tool, content: string, signal: AbortSignal = never): Promise<ToolResult> =>
  tool.call({ recipient: "functions.f", function: "f", content }, { signal });

const schema = {
  type: "object",
  properties: {
    city: { type: "string", minLength: 1 },
    days: { type: "integer", minimum: 1 },
    unit: { enum: ["celsius", "fahrenheit"] },
  },
  required: ["city"],
  additionalProperties: false,
} as const;

describe("a function with a JSON Schema", () => {
  const tool = functionTool({ name: "f", description: "d", parameters: schema, execute: (args) => args });

  test("is told to the model as given", () => {
    expect(tool.placement).toBe("developer");
    expect(tool.namespace).toEqual({
      name: "functions",
      tools: [{ name: "f", description: "d", parameters: schema }],
    });
  });

  test("gets arguments that fit", async () => {
    expect(await call(tool, ' {"city": "Oslo", "days": 2} ')).toEqual({ text: '{"city":"Oslo","days":2}' });
  });

  test.each([
    ["", "city"],
    ["{}", "city"],
    ['{"city": 5}', "city: "],
    ['{"city": "Oslo", "days": 1.5}', "days: "],
    ['{"city": "Oslo", "days": 0}', "days: "],
    ['{"city": "Oslo", "unit": "kelvin"}', "unit: "],
    ['{"city": "Oslo", "town": 1}', "town"],
    ['{"city": "Oslo"} and more', "JSON"],
    ["city=Oslo", "JSON"],
    ['["Oslo"]', "not an array"],
    ["null", "not null"],
    ["5", "not a number"],
  ])("answers what is wrong with %s", async (content, problem) => {
    const { text, isError } = await call(tool, content);
    expect(isError).toBe(true);
    expect(text).toContain(problem);
  });

  test("takes any text as arguments without failing", async () => {
    const content = fc.oneof(
      fc.string(),
      fc.json(),
      fc.jsonValue().map((v) => JSON.stringify({ city: v })),
    );
    await fc.assert(
      fc.asyncProperty(content, async (text) => {
        const { isError, text: answer } = await call(tool, text);
        if (!isError) expect(schemaHolds(JSON.parse(answer))).toBe(true);
      }),
      { numRuns: RUNS, seed: 1 },
    );
  });
});

/** `schema` once more, by hand. */
function schemaHolds(value: Record<string, unknown>): boolean {
  const { city, days = 1, unit = "celsius", ...rest } = value;
  return (
    typeof city === "string" &&
    city.length > 0 &&
    Number.isInteger(days) &&
    (days as number) >= 1 &&
    ["celsius", "fahrenheit"].includes(unit as string) &&
    Object.keys(rest).length === 0
  );
}

describe("a function with a zod schema", () => {
  const parameters = z.object({ city: z.string().describe("Where"), days: z.int().min(1).default(3) });
  const tool = functionTool({
    name: "forecast",
    description: "",
    parameters,
    execute: (args) => {
      expectTypeOf(args).toEqualTypeOf<{ city: string; days: number }>();
      return `${args.city} ${args.days}`;
    },
  });

  test("is told to the model as JSON Schema", () => {
    expect(tool.namespace.tools[0]!.parameters).toMatchObject({
      type: "object",
      properties: { city: { type: "string", description: "Where" }, days: { type: "integer", default: 3 } },
      required: ["city"],
    });
  });

  test("gets what zod makes of the arguments", async () => {
    expect(await call(tool, '{"city": "Oslo"}')).toEqual({ text: "Oslo 3" });
  });

  test("answers what is wrong with them", async () => {
    const { text, isError } = await call(tool, '{"city": 5, "days": 0}');
    expect(isError).toBe(true);
    expect(text).toMatch(/city: .*string.*days: /s);
  });
});

describe("a function's result", () => {
  const returning = (value: unknown) => functionTool({ name: "f", description: "", execute: () => value });
  test.each([
    ["a text", "as is", "as is"],
    ["an object", { a: [1, null] }, '{"a":[1,null]}'],
    ["a promise", Promise.resolve(5), "5"],
    ["nothing", undefined, "null"],
  ])("%s", async (_name, value, text) => {
    expect(await call(returning(value), "")).toEqual({ text });
  });

  test("that JSON can't hold is an error answer", async () => {
    const loop: unknown[] = [];
    loop.push(loop);
    expect((await call(returning(loop), "")).isError).toBe(true);
    expect((await call(returning(5n), "")).isError).toBe(true);
  });

  test("what it throws is an error answer, without a stack", async () => {
    const tool = functionTool({
      name: "f",
      description: "",
      execute: () => {
        throw new TypeError("no such city");
      },
    });
    expect(await call(tool, "")).toEqual({ text: "no such city", isError: true });
  });
});

describe("time", () => {
  const hanging = functionTool({
    name: "f",
    description: "",
    timeoutMs: 20,
    execute: () => new Promise<never>(() => {}),
  });

  test("running out is an error answer", async () => {
    expect(await call(hanging, "")).toEqual({ text: "No answer within 0.02 seconds.", isError: true });
  });

  test("an aborted call rejects with the reason, whatever the function does", async () => {
    const controller = new AbortController();
    const pending = call(
      functionTool({ name: "f", description: "", execute: () => new Promise(() => {}) }),
      "",
      controller.signal,
    );
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(pending).rejects.toBe(reason);
    await expect(call(hanging, "", controller.signal)).rejects.toBe(reason);
  });

  test("the function is given the signal", async () => {
    const controller = new AbortController();
    let seen: AbortSignal | undefined;
    const tool = functionTool({
      name: "f",
      description: "",
      execute: (_args, { signal }) => {
        seen = signal;
      },
    });
    await call(tool, "", controller.signal);
    controller.abort();
    expect(seen!.aborted).toBe(true);
  });
});

test.each(["", "get weather", "a.b", "x".repeat(65), "naïve"])("the name %j is refused", (name) => {
  expect(() => functionTool({ name, description: "", execute: () => "" })).toThrow(UsageError);
});

test("a schema that can't be written down is refused", () => {
  const parameters = z.object({ when: z.date() });
  expect(() => functionTool({ name: "f", description: "", parameters, execute: () => "" })).toThrow(
    UsageError,
  );
});
