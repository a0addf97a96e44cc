import { type Command, Option } from "commander";
import { openCheckpoint } from "../checkpoint/open.ts";
import { UsageError } from "../errors.ts";
import { DIALECTS, type DialectName } from "../numerics/dialects.ts";
import { checkServer, harmonyLikelihoods } from "../oracle/live/check.ts";
import { checkText, likelihoodText } from "../oracle/live/report.ts";
import { MUTANTS } from "../oracle/mutants/index.ts";
import { type EngineFlags, engineFlags, integer, loadOptions, modelOption, modelPath } from "./arguments.ts";
import { printable, table } from "./terminal.ts";

interface Options extends EngineFlags {
  readonly model?: string;
  readonly servedName?: string;
  readonly apiKey?: string;
  readonly noise: DialectName;
  readonly positions: number;
  readonly maxTokens: number;
  readonly timeout: number;
  readonly explain: "config" | "all";
  readonly reference?: boolean;
  readonly json?: boolean;
}

export function register(program: Command): void {
  const command = program
    .command("check")
    .description("examine a server that speaks OpenAI's API: is it this model, and does it speak Harmony?")
    .argument("[url]", "its address, such as http://127.0.0.1:8080")
    .addOption(modelOption())
    .option("--served-name <name>", "name that the server knows the model by (default: the first it lists)")
    .addOption(new Option("--api-key <key>", "key to send").env("GPT_OSS_CHECK_KEY"))
    .option("--positions <n>", "positions of each text, where each takes a request", integer(2), 32)
    .option("--max-tokens <n>", "tokens that an answer may take", integer(1), 1000)
    .option("--timeout <s>", "seconds for an answer", integer(1), 120)
    .addOption(
      new Option("--noise <dialect>", "what rounding is measured by")
        .choices(Object.keys(DIALECTS))
        .default("int8"),
    )
    .addOption(
      new Option("--explain <which>", "known bugs to try: other configurations, or all (slower)")
        .choices(["config", "all"])
        .default("config"),
    )
    .option(
      "--reference",
      "no server: print how likely the model finds the texts, to compare with others' numbers",
    );
  engineFlags(command).option("--json", "print the report as JSON").action(run);
}

async function run(url: string | undefined, options: Options): Promise<void> {
  if ((url === undefined) !== (options.reference === true)) {
    throw new UsageError("check needs the address of a server, or --reference", {
      hint: "Such as gpt-oss check http://127.0.0.1:8080 --model MODEL",
    });
  }
  const checkpoint = await openCheckpoint(modelPath(options.model));
  try {
    if (url === undefined) {
      const likelihoods = await harmonyLikelihoods(checkpoint, loadOptions(options));
      console.log(options.json ? JSON.stringify(likelihoods) : likelihoodText(likelihoods, table));
      return;
    }
    const report = await checkServer(url, checkpoint, {
      load: loadOptions(options),
      noiseDialect: options.noise,
      positions: options.positions,
      maxTokens: options.maxTokens,
      ...(options.explain === "all" && { mutants: MUTANTS }),
      timeout: 1000 * options.timeout,
      ...(options.servedName !== undefined && { servedName: options.servedName }),
      ...(options.apiKey !== undefined && { apiKey: options.apiKey }),
      onProgress: progress,
    });
    progress("");
    console.log(options.json ? JSON.stringify(report) : printable(checkText(report, table), process.stdout));
    if (!report.ok) process.exitCode = 1;
  } finally {
    await checkpoint.close();
  }
}

/** What is being done, on one line that goes away. */
function progress(what: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${what}`);
}
