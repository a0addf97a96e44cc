/**
 * An agent with two tools: a function of your own, and Python in a sandbox. A tool lives as long as the agent that it was
 * given to, which closes it.
 *
 *     npx tsx examples/tools.ts [MODEL]
 */
import { Agent, load, type Model } from "gpt-oss-ts";
import { functionTool, pythonTool, type Tool } from "gpt-oss-ts/tools";
import { z } from "zod";

await using model = await load(process.argv[2] ?? "golden/small");

const weather = functionTool({
  name: "get_weather",
  description: "Gets the weather in a city",
  parameters: z.object({ city: z.string() }),
  // `city` is a string here, for the editor too; calls with other arguments go back to the model
  execute: ({ city }) => ({ temperature: city.length * 3, sky: "sunny" }),
});

await ask(model, "Get the weather in Paris.", [weather]);
await ask(model, "What is 47 * 38?", [pythonTool()]);

async function ask(model: Model, question: string, tools: Tool[]): Promise<void> {
  await using agent = new Agent(model, { effort: "low", tools });
  console.log(`> ${question}`);
  for await (const event of agent.run(question)) {
    if (event.type === "tool-call") console.log(`  ${event.call.recipient} ← ${event.call.content}`);
    if (event.type === "tool-result") console.log(`  ${event.call.recipient} → ${event.result.text.trim()}`);
    if (event.type === "final") console.log(event.text);
  }
}
