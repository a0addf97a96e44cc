/**
 * The long check of `diagnose`: bugs edited into the source of transformers and of OpenAI's code, found from logits alone.
 *
 *     python scripts/mutants/make.py --out DIR --small golden/small
 *     npm run build && npx tsx scripts/check-diagnose.ts DIR [--only TEXT] [--all]
 *
 * Prints a table by bug and precision, and ends with status 1 if a correct run was blamed or fewer than nine in ten bugs found.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openCheckpoint } from "../src/checkpoint/open.ts";
import { type Diagnosis, diagnose, Laboratory } from "../src/oracle/diagnose.ts";
import { readTrace } from "../src/oracle/trace-file.ts";

interface Case {
  readonly checkpoint: string;
  readonly name: string;
  readonly file: string;
  readonly bug: string;
  readonly source: string;
  readonly dtype: string;
  readonly tokens: number;
  /** Names of mutants; `correct` or `none`. */
  readonly answers: readonly string[];
  /** Whether all answers are parts of one. */
  readonly together: boolean;
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: "string", default: "" }, all: { type: "boolean", default: false } },
});
const folder = positionals[0];
if (folder === undefined) throw new Error("usage: check-diagnose.ts DIR");
const cases = (JSON.parse(await readFile(join(folder, "cases.json"), "utf8")) as Case[]).filter(
  ({ bug, file }) => bug.includes(options.only) || file.includes(options.only),
);

type Grade = "right" | "among ties" | "unsure" | "wrong";

function grade({ answers, together }: Case, { verdict, bugs }: Diagnosis): Grade {
  const named = bugs.map((members) => members.map(({ name }) => name));
  if (answers[0] === "correct")
    return verdict === "correct" ? "right" : verdict === "unknown" ? "unsure" : "wrong";
  if (answers[0] === "none") return verdict === "bug" ? "wrong" : verdict === "correct" ? "unsure" : "right";
  if (verdict !== "bug") return "unsure";
  const fits = (members: readonly string[]): boolean =>
    together
      ? members.length === answers.length && answers.every((answer) => members.includes(answer))
      : members.length === 1 && answers.includes(members[0]!);
  return !named.some(fits) ? "wrong" : named.length === 1 ? "right" : "among ties";
}

const results: { case: Case; grade: Grade }[] = [];
for (const key of new Set(cases.map(({ checkpoint, tokens }) => `${tokens} ${checkpoint}`))) {
  const members = cases.filter(({ checkpoint, tokens }) => key === `${tokens} ${checkpoint}`);
  const checkpoint = await openCheckpoint(members[0]!.checkpoint);
  const ids = (await readTrace(join(folder, members[0]!.file))).trace.get("ids")!.data;
  await using laboratory = new Laboratory(checkpoint, Array.from(ids));
  for (const member of members) {
    const { trace } = await readTrace(join(folder, member.file));
    if (process.env["DEBUG_CASES"]) console.log(member.file);
    const diagnosis = await diagnose(laboratory, trace.get("logits")!);
    const result = { case: member, grade: grade(member, diagnosis) };
    results.push(result);
    if (options.all || result.grade !== "right") console.log(line(result.case, result.grade, diagnosis));
  }
  await checkpoint.close();
}

function line({ name, source, bug, dtype, tokens }: Case, grade: Grade, diagnosis: Diagnosis): string {
  const found = diagnosis.bugs.map((members) => members.map((m) => m.name).join(" + ")).join(" | ");
  const near = diagnosis.candidates
    .slice(0, 3)
    .map(
      (c) =>
        `${c.mutants.map((m) => m.name).join("+") || "correct"} ${c.distance.toExponential(1)} ${c.contrast ? `${c.contrast.nearer.toFixed(2)}/${c.contrast.ratio.toFixed(2)}/${c.contrast.way.toFixed(2)}` : ""}`,
    )
    .join(", ");
  return `${grade.padEnd(10)} ${name} ${source} ${dtype} ${tokens}: ${bug} → ${diagnosis.verdict} ${found} (${diagnosis.precision}); near ${near}`;
}

const count = (group: typeof results, wanted: Grade): number =>
  group.filter(({ grade }) => grade === wanted).length;
for (const [title, pick] of [
  ["known bugs", (c: Case) => !["correct", "none"].includes(c.answers[0]!) && !c.together],
  ["two at once", (c: Case) => c.together],
  ["unknown bugs", (c: Case) => c.answers[0] === "none"],
  ["correct runs", (c: Case) => c.answers[0] === "correct"],
] as const) {
  for (const dtype of ["float32", "bfloat16"]) {
    const group = results.filter(({ case: c }) => pick(c) && c.dtype === dtype);
    const grades = (["right", "among ties", "unsure", "wrong"] as const).map(
      (g) => `${count(group, g)} ${g}`,
    );
    console.log(`${title}, ${dtype}: ${group.length} cases, ${grades.join(", ")}`);
  }
}
const blamed = results.some(({ case: c, grade }) => c.answers[0] === "correct" && grade === "wrong");
const known = results.filter(({ case: c }) => !["correct", "none"].includes(c.answers[0]!));
if (blamed || count(known, "right") + count(known, "among ties") < 0.9 * known.length) process.exitCode = 1;
