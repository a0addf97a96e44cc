import type { Distance } from "./agreement.ts";
import type { Likelihoods, ServerReport } from "./check.ts";
import { type Agreement, SIGNIFICANT } from "./log-probabilities.ts";
import type { TextLikelihood } from "./reference.ts";
import { WAY_NAMES } from "./scores.ts";

/** Rows of cells under a heading, as lines. */
export type Table = (heading: readonly string[], rows: readonly (readonly string[])[]) => string;

export function checkText(report: ServerReport, table: Table): string {
  const { scoring, agreement, cases } = report;
  const lines = [
    `${report.url} as ${report.model}, against checkpoint ${report.checkpoint.slice(0, 12)}…`,
    "",
  ];
  if (scoring.way) lines.push(`Log-probabilities by ${WAY_NAMES[scoring.way]}, top ${scoring.top}.`);
  else {
    lines.push("Log-probabilities: not offered.");
    for (const { way, why } of scoring.refused) lines.push(`  ${WAY_NAMES[way]}: ${why}`);
  }
  if (agreement) lines.push("", ...agreementLines(agreement, table));
  lines.push(
    "",
    table(
      ["case", "result", "what was seen"],
      cases.map(({ name, status, detail }) => [name, status, detail]),
    ),
  );
  const causes = cases.filter(({ cause }) => cause !== undefined);
  if (causes.length > 0) lines.push("", "Likely causes:");
  for (const { name, cause } of causes) lines.push(`  ${name}: ${cause}`);
  return lines.join("\n");
}

function agreementLines(agreement: Agreement, table: Table): string[] {
  const { theirs, noise, noiseDialect, dialect, texts, explanations, verdict } = agreement;
  const row = (name: string, distance: Distance): string[] => [
    name,
    `${distance.positions}`,
    `${exponential(distance.kl)} ± ${exponential(distance.klError)}`,
    exponential(distance.medianKl),
    distance.delta.toFixed(4),
    `${distance.positions - distance.flips} of ${distance.positions}`,
  ];
  const lines = [
    table(
      [`against ${dialect}`, "#positions", "#KL, mean", "#KL, median", "#|Δ log p|", "#same best token"],
      [
        row("the server", theirs),
        ...texts.map(({ name, distance }) => row(`  ${name}`, distance)),
        row(`noise: our ${noiseDialect}`, noise),
      ],
    ),
    "",
  ];
  const [nearest] = explanations;
  if (verdict === "agrees") lines.push("The server agrees: it is no farther off than rounding takes it.");
  else if (verdict === "explained") {
    const { explanation, distance, nearerBy } = nearest!;
    lines.push(
      `The server runs another model, and it is known: ${explanation.name}. ${explanation.description}`,
      `  Seen in: ${explanation.seen}. To mend: ${explanation.fix}`,
      `  Against that model it is within the noise: KL ${exponential(distance.kl)} instead of ${exponential(theirs.kl)}` +
        ` (nearer by ${nearerBy.toFixed(1)} standard errors over positions).`,
    );
  } else {
    lines.push("The server differs by more than rounding, and no known bug explains it.");
    if (nearest && nearest.nearerBy > SIGNIFICANT)
      lines.push(
        `  ${nearest.explanation.name} explains a part of it. Is the rest the server's quantisation? Then give --model the very`,
        "  file that it has, or --dense q8_0.",
      );
  }
  if (explanations.length > 0) {
    lines.push(
      "",
      table(
        ["against a model with a bug", "#KL, mean", "#KL, median", "#same best token", "#nearer by"],
        explanations.map(({ explanation, distance, nearerBy, fits }) => [
          `${explanation.name}${fits ? " (fits)" : ""}`,
          exponential(distance.kl),
          exponential(distance.medianKl),
          `${distance.positions - distance.flips} of ${distance.positions}`,
          `${nearerBy.toFixed(1)} s.e.`,
        ]),
      ),
    );
  }
  return [...lines, "", likelihoodTable(agreement.likelihoods, table)];
}

export function likelihoodText(
  { version, checkpoint, dialect, likelihoods }: Likelihoods,
  table: Table,
): string {
  return [
    `Harmony texts, version ${version}, in ${dialect}; checkpoint ${checkpoint}`,
    "",
    likelihoodTable(likelihoods, table),
  ].join("\n");
}

function likelihoodTable(likelihoods: readonly TextLikelihood[], table: Table): string {
  const mean = (of: (each: TextLikelihood) => [number, number]): string => {
    const pairs = likelihoods.map(of);
    const tokens = pairs.reduce((sum, [count]) => sum + count, 0);
    return (pairs.reduce((sum, [count, nll]) => sum + count * nll, 0) / tokens).toFixed(5);
  };
  const rows = likelihoods.map((each) => [
    ...[
      each.name,
      `${each.tokens}`,
      each.nll.toFixed(5),
      `${each.assistantTokens}`,
      each.assistantNll.toFixed(5),
    ],
  ]);
  return table(
    ["nats a token", "#tokens", "#all", "#the assistant's", "#theirs"],
    [
      ...rows,
      [
        ...["together", "", mean(({ tokens, nll }) => [tokens, nll]), ""],
        mean(({ assistantTokens, assistantNll }) => [assistantTokens, assistantNll]),
      ],
    ],
  );
}

function exponential(value: number): string {
  return value === 0 ? "0" : value.toExponential(1);
}
