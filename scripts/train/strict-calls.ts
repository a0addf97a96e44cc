/**
 * How often the small checkpoint makes a valid call of the right function in this program, which holds arguments to their
 * schema, where evaluate.py decodes freely. The problems are evaluate.py's.
 *
 *     python scripts/train/evaluate.py --calls calls.json --count 100 --seed 5
 *     npx tsx scripts/train/strict-calls.ts calls.json
 */
import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import type { JsonSchema } from "../../src/harmony/index.ts";
import { Agent, load } from "../../src/index.ts";
import { functionTool } from "../../src/tools/index.ts";

interface Problem {
  readonly functions: readonly { name: string; description: string; parameters: JsonSchema | null }[];
  readonly instructions: string | null;
  readonly prompt: string;
  readonly name: string;
  readonly arguments: string;
  readonly reply: string;
  readonly answer: string;
}

const problems = JSON.parse(readFileSync(process.argv[2]!, "utf8")) as Problem[];
const ajv = new Ajv({ strict: false });
const model = await load("golden/small");
for (const effort of ["low", "medium", "high"] as const) {
  const count = { function: 0, valid: 0, arguments: 0, answer: 0 };
  for (const problem of problems) {
    const calls: { name: string; given: unknown }[] = [];
    const tools = problem.functions.map(({ name, description, parameters }) =>
      functionTool({
        name,
        description,
        parameters: parameters ?? { type: "object", properties: {} },
        execute: (given: unknown) => {
          calls.push({ name, given });
          return problem.reply;
        },
      }),
    );
    const { instructions } = problem;
    await using agent = new Agent(model, {
      effort,
      tools,
      date: "2025-06-28",
      maxSteps: 1,
      generation: { temperature: 0, maxTokens: 300 },
      ...(instructions !== null && { instructions }),
    });
    let answer = "";
    for await (const event of agent.run(problem.prompt)) if (event.type === "final") answer = event.text;
    const [call] = calls;
    if (call?.name !== problem.name) continue;
    count.function++;
    const schema = problem.functions.find(({ name }) => name === call.name)?.parameters ?? {};
    if (ajv.validate(schema as object, call.given)) count.valid++;
    const right = JSON.stringify(call.given) === JSON.stringify(JSON.parse(problem.arguments));
    if (right) count.arguments++;
    if (right && answer === problem.answer) count.answer++;
  }
  const share = (n: number): string => `${((100 * n) / problems.length).toFixed(1)}%`;
  console.log(
    `${effort}: right function ${share(count.function)}, valid arguments ${share(count.valid)}, ` +
      `right arguments ${share(count.arguments)}, right answer ${share(count.answer)}`,
  );
}
await model.close();
