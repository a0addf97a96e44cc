// Takes the place of the test's own tools.ts: functions of the kind that the small checkpoint was trained for.
import { type Tool, tool } from "@openai/agents";

type Options = Parameters<typeof tool>[0];
type Properties = Record<string, { readonly type: string }>;

function fake(name: string, description: string, properties: Properties, output: string): Tool {
  const parameters = {
    type: "object",
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  } as const;
  // the SDK's types have it that only strict functions take nothing else
  return tool({
    name,
    description,
    parameters,
    execute: async () => output,
    strict: false,
  } as unknown as Options);
}

const text = { type: "string" } as const;
const integer = { type: "integer" } as const;

export const TOOLS_MAP: Record<string, Tool> = {
  get_weather: fake("get_weather", "Get the weather.", { city: text }, '{"temperature":21,"sky":"cloudy"}'),
  book_table: fake("book_table", "Book a table.", { people: integer, date: text }, '{"status":"booked"}'),
  set_alarm: fake("set_alarm", "Set an alarm.", { time: text }, '{"ok":true}'),
  send_message: fake("send_message", "Send a message.", { recipient: text, text }, "sent"),
  find_flight: fake("find_flight", "Find the flight.", { from: text, to: text }, '{"price":240,"gate":12}'),
};
