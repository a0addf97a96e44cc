import { type Comparison, diverges, type PointDistance } from "../compare.ts";
import { groupOf } from "../noise-floor.ts";
import { type Judged, severity, type TraceSummary } from "./judged.ts";

/** Draws a table; the command line's own. */
export type DrawTable = (heading: readonly string[], rows: readonly (readonly string[])[]) => string;

/** The report for people, at most 80 columns wide but for long names of files. */
export function terminalReport(judged: Judged, all: boolean, table: DrawTable): string {
  const { comparison, a, b, conclusion } = judged;
  const { points, floor, routing, logits } = comparison;
  const layers = points.reduce((last, { point }) => Math.max(last, groupOf(point).layer ?? -1), -1);
  const every = Math.max(1, Math.ceil((layers + 1) / 6));
  const shown = all
    ? points
    : points.filter((point) => point === comparison.firstDivergence || isSample(point, every));
  const lines = [describe("A", a), describe("B", b), `floor: ${floor.source}`, ""];
  const map = layerMap(points);
  if (map.length > 0) lines.push(...map, "");
  lines.push(table(["point", "#median", "#worst", "#max", "#of floor", "verdict"], shown.map(row)), "");
  if (logits) {
    const { meanKl, klStandardError, top1Agreement, top5Agreement, tokens } = logits;
    const error = Number.isNaN(klStandardError) ? "" : ` ± ${klStandardError.toExponential(1)}`;
    lines.push(
      `logits: mean KL ${meanKl.toExponential(2)}${error} nats over ${tokens} tokens; same first choice at`,
    );
    lines.push(
      `        ${percent(top1Agreement)} of tokens, ${percent(top5Agreement)} of the first five shared`,
    );
  }
  if (routing.flips.length > 0) lines.push(...describeFlips(comparison));
  for (const [file, names] of [["A", comparison.onlyInA], ["B", comparison.onlyInB]] as const) // biome-ignore format: one line
    if (names.length > 0) lines.push(`only in ${file}: ${listed(names)}`);
  for (const [file, { unknown }] of [["A", a], ["B", b]] as const) // biome-ignore format: one line
    if (unknown.length > 0) lines.push(`unknown in ${file}: ${listed(unknown)} (--map tells what they are)`);
  lines.push("", ...wrap(conclusion));
  return lines.join("\n");
}

function describe(name: string, { path, format, convention, dialect, dialectGuessed }: TraceSummary): string {
  const whose = convention === "ours" ? "" : `, names of ${convention}`;
  return `${name}: ${path} (${format}${whose}, ${dialect}${dialectGuessed ? ", guessed" : ""})`;
}

function listed(names: readonly string[]): string {
  return names.length <= 3
    ? names.join(", ")
    : `${names.slice(0, 2).join(", ")} and ${names.length - 2} more`;
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** Points that tell how errors grow through the model: of many layers, some. */
function isSample({ point }: PointDistance, every: number): boolean {
  const { group, layer } = groupOf(point);
  return layer === undefined || (group === "moe.residual" && layer % every === 0);
}

function row(distance: PointDistance): string[] {
  const { point, noise, maxAbsolute, mismatch, firstToken, flips, note } = distance;
  if (mismatch) return [point, "", "", "", "", mismatch];
  const verdict = firstToken === undefined ? "ok" : `parts at token ${firstToken}`;
  if (flips !== undefined) return [point, "", "", "", "", flips ? `${verdict} (${flips} differ)` : "ok"];
  const number = (x: number | undefined): string =>
    x === undefined || Number.isNaN(x) ? "" : x.toExponential(1);
  const worst = noise && Math.max(noise.clean, noise.downstream);
  const share = severity(distance);
  const near = share === 0 ? "0" : share < 1000 ? share.toFixed(2) : share.toExponential(1);
  return [
    point,
    number(noise?.median),
    number(worst),
    number(maxAbsolute),
    near,
    note ? `${verdict}, ${note}` : verdict,
  ];
}

const MAP: readonly (readonly [string, string])[] = [
  ["n", "attn.norm"], ["q", "attn.q"], ["k", "attn.k"], ["v", "attn.v"], ["Q", "attn.q_rope"], ["K", "attn.k_rope"], ["s", "attn.scores"],
  ["w", "attn.weights"], ["S", "attn.sink"], ["c", "attn.context"], ["o", "attn.out"], ["r", "attn.residual"], ["", ""],
  ["n", "moe.norm"], ["l", "moe.router_logits"], ["i", "moe.expert_ids"], ["w", "moe.expert_weights"], ["g", "moe.gate_up"],
  ["s", "moe.swiglu"], ["d", "moe.down"], ["o", "moe.out"], ["r", "moe.residual"],
]; // biome-ignore format: a table

/** A line a layer, a sign a point: how near each comes to its floor. */
function layerMap(points: readonly PointDistance[]): string[] {
  const byName = new Map(points.map((point) => [point.point, point]));
  const layers = [...new Set(points.flatMap(({ point }) => groupOf(point).layer ?? []))];
  if (layers.length === 0) return [];
  const sign = (point: PointDistance | undefined): string => {
    if (!point) return " ";
    if (diverges(point)) return "X";
    return severity(point) > 1 / 3 ? "+" : "·";
  };
  const lines = layers.map((layer) => {
    const signs = MAP.map(([, group]) => (group === "" ? "│" : sign(byName.get(`layers.${layer}.${group}`))));
    return `${String(layer).padStart(5)}  ${signs.join(" ")}`;
  });
  return [
    `layer  ${MAP.map(([letter, group]) => (group === "" ? "│" : letter)).join(" ")}`,
    ...lines,
    "       norm q k v, rotated Q K, scores weights Sink context out residual │ norm",
    "       logits ids weights gate_up swiglu down out residual; + near the floor, X beyond",
  ];
}

function describeFlips({ routing: { flips, compared } }: Comparison): string[] {
  const count = (holds: (flip: (typeof flips)[number]) => boolean): number => flips.filter(holds).length;
  const benign = count(({ benign }) => benign === true);
  const wrong = count(({ benign }) => benign === false);
  const later = flips.length - benign - wrong;
  return [
    `routing: ${flips.length} of ${compared} choices differ: ${benign} at near ties, ${wrong} beyond the noise,`,
    `         ${later} of tokens that had flipped before or whose router logits are unknown`,
  ];
}

/** Lines of at most 80 columns. */
function wrap(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < 80) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
