/**
 * A conversation. An agent keeps what was said, and what the model has computed for it: the second question costs little.
 *
 *     npx tsx examples/chat.ts [MODEL]
 */
import { Agent, load } from "gpt-oss-ts";

await using model = await load(process.argv[2] ?? "golden/small");
await using agent = new Agent(model, { effort: "low" });

for (const question of ["Who are you?", "What is 47 + 38?"]) {
  console.log(`> ${question}`);
  for await (const event of agent.run(question)) {
    if (event.type === "text") process.stdout.write(event.delta);
    if (event.type === "final") {
      const { promptTokens, cachedTokens, completionTokens } = event.usage;
      console.log(
        `\n  read ${promptTokens} tokens, ${cachedTokens} of them known; wrote ${completionTokens}\n`,
      );
    }
  }
}
