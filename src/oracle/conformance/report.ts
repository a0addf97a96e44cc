import type { CheckReport, ConformanceReport, LevelReport } from "./runtime.ts";

/** The report as lines for a terminal; passed levels on one line each, unless `all`. */
export function conformanceText({ pack, precision, levels, passed }: ConformanceReport, all = false): string {
  const lines = [`gpt-oss conformance pack ${pack}, precision ${precision}`, ""];
  for (const level of levels) {
    lines.push(heading(level));
    const shown = level.checks.filter((check) => all || !check.passed);
    for (const check of shown.slice(0, all ? undefined : 12)) lines.push(`    ${line(check)}`);
    if (!all && shown.length > 12) lines.push(`    … and ${shown.length - 12} more`);
    if (level.hint) lines.push(`    → ${level.hint}`);
  }
  const skipped = levels.every(({ status }) => status === "skipped");
  lines.push("", passed ? "Conforms." : skipped ? "Nothing was checked." : "Does not conform.");
  return lines.map(printable).join("\n");
}

function heading({ level, title, status, checks }: LevelReport): string {
  const failed = checks.filter(({ passed }) => !passed).length;
  const count = failed > 0 ? `${failed} of ${checks.length} checks failed` : `${checks.length} checks`;
  const closest = checks.reduce<CheckReport | undefined>(
    (a, b) => (a && ratio(a) >= ratio(b) ? a : b),
    undefined,
  );
  const nearest =
    status === "passed" && closest && ratio(closest) > 0
      ? `, at most ${measure(closest)} (${closest.name})`
      : "";
  return `level ${level}  ${title.padEnd(24)}${status.padEnd(9)}${status === "skipped" ? "not offered" : count + nearest}`;
}

function line({ passed, name, detail, ...result }: CheckReport): string {
  const measured = Number.isFinite(result.error) || detail === undefined ? `  ${measure(result)}` : "";
  return `${passed ? "ok  " : "FAIL"}  ${name}${measured}${detail === undefined ? "" : `  ${detail}`}`;
}

function measure({ error, tolerance, unit }: Pick<CheckReport, "error" | "tolerance" | "unit">): string {
  const show = (x: number): string => (Number.isInteger(x) ? String(x) : x.toExponential(1));
  return unit === "differing" ? `${show(error)} differ` : `${show(error)} of ${show(tolerance)}`;
}

function ratio({ error, tolerance }: CheckReport): number {
  return error === 0 ? 0 : error / tolerance;
}

/** What a runtime says reaches the terminal without control characters. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what it is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, "\ufffd");
}
