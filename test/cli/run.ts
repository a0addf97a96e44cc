import { Command } from "commander";
import { vi } from "vitest";

/** Runs one command as the command line would, and returns what it prints. */
export async function run(register: (program: Command) => void, ...args: string[]): Promise<string> {
  const program = new Command("gpt-oss").exitOverride().configureOutput({ writeErr: () => {} });
  register(program);
  for (const command of program.commands) command.exitOverride().configureOutput({ writeErr: () => {} });
  const lines: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line: unknown) => void lines.push(String(line)));
  try {
    await program.parseAsync(args, { from: "user" });
  } finally {
    log.mockRestore();
  }
  return lines.join("\n");
}
