import { EQUIVALENT, type Family, MUTANTS } from "../../src/oracle/mutants/index.ts";

const FAMILIES: Readonly<Record<Family, string>> = {
  rope: "Positions",
  window: "Sliding window",
  attention: "Attention",
  sinks: "Attention sinks",
  router: "Router",
  swiglu: "The experts' activation",
  weights: "Reading the checkpoint",
  stream: "Residual stream, norms, logits",
};

/** The page of all bugs that `gpt-oss diagnose` knows. */
export function knownBugsPage(): string {
  const sections = Object.entries(FAMILIES).flatMap(([family, title]) => [
    `## ${title}`,
    "",
    "| bug | what is wrong | seen | what to do |",
    "|---|---|---|---|",
    ...MUTANTS.filter((mutant) => mutant.family === family).map(
      ({ name, description, seen, fix }) =>
        `| \`${name}\` | ${[description, seen, fix].map(cell).join(" | ")} |`,
    ),
    "",
  ]);
  return [
    "# Known bugs",
    "",
    `The ${MUTANTS.length} bugs that \`gpt-oss diagnose\` finds ([how](oracle.md#diagnosing)). Each is a change of the configuration, the weights`,
    "or an operation in [`src/oracle/mutants`](../src/oracle/mutants), from which `scripts/mutants/list.ts` writes this page. *Seen* names issues of other",
    "runtimes where there are any, or what makes the mistake easy.",
    "",
    ...sections,
    "## What no logits can tell",
    "",
    "| looks like a bug | why it isn't one, or which it is |",
    "|---|---|",
    ...EQUIVALENT.map(({ name, why }) => `| ${cell(name)} | ${cell(why)} |`),
    "",
  ].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
