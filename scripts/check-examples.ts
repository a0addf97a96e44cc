/**
 * The examples in other runtimes, which take TypeScript as it is: runs each in whatever is named and holds its output to the
 * expectations that the test suite has for Node.js.
 *
 *     npm run build && npx tsx scripts/check-examples.ts --runtime PATH …
 *
 * PATH is a command: Deno, Bun, or a Node.js of version 24 or later.
 */
import { execFile } from "node:child_process";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { EXAMPLES, missing } from "../test/support/examples.ts";

const cwd = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);
const { values } = parseArgs({ options: { runtime: { type: "string", multiple: true, default: [] } } });
if (values.runtime.length === 0) throw new Error("name a command: --runtime PATH");

for (const command of values.runtime) {
  const { stdout: version } = await run(command, ["--version"]);
  console.log(`${basename(command)} ${version.split("\n")[0]}`);
  const args = basename(command).startsWith("deno") ? ["run", "-A"] : [];
  for (const name of Object.keys(EXAMPLES)) {
    const problem = await run(command, [...args, `examples/${name}`], { cwd, timeout: 120_000 }).then(
      ({ stdout }) => {
        const pattern = missing(name, stdout);
        return pattern && `doesn't print ${pattern}:\n${stdout}`;
      },
      (error: Error) => error.message,
    );
    console.log(`  ${name}: ${problem ?? "ok"}`);
    if (problem !== undefined) process.exitCode = 1;
  }
}
