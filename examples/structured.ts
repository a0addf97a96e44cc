/**
 * An answer as a typed object: a zod schema, written down as JSON Schema, that the model is told of and held to, token by
 * token. What comes out parses, whatever the model; how sensible it is depends on the model.
 *
 *     npx tsx examples/structured.ts [MODEL]
 */
import { Agent, load } from "gpt-oss-ts";
import { z } from "zod";

const Person = z.object({ name: z.string(), age: z.int().min(0).max(150) });

await using model = await load(process.argv[2] ?? "golden/small");
await using agent = new Agent(model, {
  effort: "low",
  responseFormat: { name: "person", schema: z.toJSONSchema(Person) },
  generation: { maxTokens: 1000 },
});

for await (const event of agent.run("Ann is 31 years old.")) {
  if (event.type !== "final") continue;
  // "length" would mean that the limit came before the end of the JSON
  if (event.finishReason !== "stop") throw new Error(`no whole answer: ${event.finishReason}`);
  const person = Person.parse(JSON.parse(event.text));
  console.log(event.text);
  console.log(`${person.name} will be ${person.age + 1} next year.`);
}
