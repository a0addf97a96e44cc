import { diverges, type PointDistance } from "../compare.ts";
import { groupOf } from "../noise-floor.ts";
import { type Judged, severity, tokenSeverities } from "./judged.ts";
import { drawPage, type PageData, type PagePoint } from "./page.ts";

/** Columns of the heat map: a long prompt's tokens share them. */
const MAX_COLUMNS = 512;

/** The report as one page that needs nothing else: no network, no other file. */
export function htmlReport(judged: Judged, ids: ArrayLike<number> = []): string {
  const { comparison, a, b, conclusion } = judged;
  const { points, floor, routing, logits } = comparison;
  const tokens = points.reduce((most, { tokenErrors }) => Math.max(most, tokenErrors?.length ?? 0), 1);
  const perColumn = Math.ceil(tokens / MAX_COLUMNS);
  const data: PageData = {
    conclusion,
    tokens,
    perColumn,
    ids: Array.from(ids).slice(0, tokens),
    points: points.map((point) => pagePoint(point, perColumn)),
  };
  const facts: [string, string][] = [
    ["A", `${a.path} (${a.format}, ${a.dialect}${a.dialectGuessed ? ", guessed" : ""})`],
    ["B", `${b.path} (${b.format}, ${b.dialect}${b.dialectGuessed ? ", guessed" : ""})`],
    ["floor", floor.source],
    ["routing", `${routing.flips.length} of ${routing.compared} choices of experts differ`],
  ];
  if (logits) {
    const error = Number.isNaN(logits.klStandardError) ? "" : ` ± ${logits.klStandardError.toExponential(1)}`;
    facts.push(["logits", `mean KL ${logits.meanKl.toExponential(2)}${error} nats, the same first choice at ${(100 * logits.top1Agreement).toFixed(2)} % of ${logits.tokens} tokens`]); // biome-ignore format: one thought
  }
  const list = facts.map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(value)}</dd>`).join("");
  const verdict = comparison.firstDivergence ? "differ" : "agree";
  // esbuild, which runs the sources in development, marks functions with a helper of that name
  const script = `const __name = (f) => f;\n(${drawPage.toString()})(JSON.parse(document.getElementById("data").textContent))`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Traces ${verdict}: ${escapeHtml(a.path)}, ${escapeHtml(b.path)}</title>
<style>${STYLE}</style>
<main>
<h1 class="${verdict}">${escapeHtml(conclusion)}</h1>
<dl>${list}</dl>
<section><h2>Operations by layer</h2>
<div class="scroll"><table id="grid"></table></div>
<p class="legend"><i class="s0"></i>equal <i class="s1"></i><i class="s3"></i><i class="s5"></i> noise <i class="s6"></i>near the floor <i class="b"></i>beyond it <i class="f"></i>ten times</p></section>
<section><h2 id="name"></h2>
<p id="verdict"></p><p id="figures"></p>
<div class="charts"><figure><figcaption>error by token</figcaption><svg id="tokens" role="img" aria-label="error by token"></svg></figure>
<figure><figcaption>differences in units of the last place</figcaption><svg id="ulps" role="img" aria-label="histogram of differences"></svg></figure></div></section>
<section><h2>Every point, every token</h2>
<p>Points in forward order from top to bottom, with the layers' numbers; tokens from left to right. Choose a row for its charts above.</p>
<div class="map"><canvas id="heat"></canvas></div></section>
<section><h2>Errors through the layers</h2>
<p class="legend"><i class="median"></i>median token <i class="worst"></i>worst token <i class="floor"></i>floor of the point</p>
<div class="charts" id="ops"></div></section>
</main>
<div id="tip" hidden></div>
<script type="application/json" id="data">${JSON.stringify(data).replaceAll("<", "\\u003c")}</script>
<script>${script.replaceAll("</script", "<\\/script")}</script>
</html>
`;
}

function pagePoint(point: PointDistance, perColumn: number): PagePoint {
  const { group, layer } = groupOf(point.point);
  const { noise, floor, mismatch, firstToken, factor, flips } = point;
  const remarks = [
    mismatch ?? (firstToken === undefined ? "" : `parts at token ${firstToken}`),
    factor === undefined ? "" : `${factor.toPrecision(3)} times what it should be`,
    flips ? `${flips} differ` : "",
  ];
  const limit = Number.isFinite(floor.clean) ? floor.clean : floor.median;
  return {
    point: point.point,
    layer: layer ?? null,
    op: group,
    agrees: !diverges(point),
    firstToken: firstToken ?? null,
    severity: Math.min(severity(point), 1e9),
    median: finite(noise?.median),
    worst: finite(noise && Math.max(noise.clean, noise.downstream)),
    floor: finite(limit),
    remark: remarks.filter((text) => text !== "").join(", "),
    ulps: point.ulps ?? [],
    errors: coded(point.tokenErrors, perColumn),
    severities: coded(tokenSeverities(point), perColumn),
  };
}

function finite(x: number | undefined): number | null {
  return x === undefined || !Number.isFinite(x) ? null : x;
}

/** The largest of each column; page.ts says how it is coded. */
function coded(values: Float64Array | undefined, perColumn: number): string {
  if (!values) return "";
  const bytes = new Uint8Array(Math.ceil(values.length / perColumn));
  for (const [t, value] of values.entries()) {
    if (Number.isNaN(value)) continue;
    const code = value === 0 ? 1 : Math.round(1 + 12 * (16 + Math.log10(value)));
    const column = Math.floor(t / perColumn);
    bytes[column] = Math.max(bytes[column]!, Math.min(255, Math.max(value === 0 ? 1 : 2, code)));
  }
  return Buffer.from(bytes).toString("base64");
}

function escapeHtml(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (character) => names[character]!);
}

const STYLE = `
:root { color-scheme: light dark; --page: #fff; --card: #f6f7f9; --text: #16191d; --dim: #5a626c; --rule: #d9dde2; --none: #eceef1;
  --heat0: #e4ebf5; --heat1: #cfdff2; --heat2: #b5cfec; --heat3: #93b9e2; --heat4: #6d9fd4; --heat5: #4a82c0; --heat6: #2c62a3;
  --beyond: #e8833a; --far: #b3261e; --good: #1b6e3c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14171a; --card: #1d2125; --text: #e8eaed; --dim: #9aa3ad; --rule: #343a41; --none: #22262b;
    --heat0: #20303f; --heat1: #24405a; --heat2: #295175; --heat3: #2f6493; --heat4: #3c7bb3; --heat5: #5795cf; --heat6: #86b8e8;
    --beyond: #f0944d; --far: #ff6b5e; --good: #6fcf97; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.25rem; line-height: 1.35; padding: 12px 16px; background: var(--card); border-radius: 8px; border-left: 6px solid; overflow-wrap: anywhere; }
h1.agree { border-color: var(--good); } h1.differ { border-color: var(--bad); }
h2 { font-size: 1.05rem; margin: 28px 0 6px; overflow-wrap: anywhere; }
p { margin: 4px 0; color: var(--dim); }
dl { display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; margin: 0; } dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; } .map { overflow-y: auto; max-height: 75vh; border: 1px solid var(--rule); border-radius: 6px; }
#grid { border-collapse: collapse; font-size: 12px; } #grid td { padding: 1px; text-align: right; } #grid td:first-child { padding-right: 8px; color: var(--dim); }
#grid th { height: 112px; vertical-align: bottom; padding: 0; font-weight: 400; color: var(--dim); }
#grid th span { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap; }
#grid button { width: 28px; height: 22px; border: 1px solid transparent; border-radius: 3px; padding: 0; font: 700 13px/1 system-ui; color: #fff; cursor: pointer; display: block; }
#grid button[aria-pressed=true] { outline: 2px solid var(--text); outline-offset: -1px; }
#grid button:focus-visible { outline: 3px solid var(--text); }
.legend { font-size: 13px; } .legend i { display: inline-block; width: 16px; height: 11px; margin: 0 5px 0 8px; border-radius: 2px; }
.legend .s0 { background: var(--heat0); } .legend .s1 { background: var(--heat1); margin-right: 0; } .legend .s3 { background: var(--heat3); margin: 0; }
.legend .s5 { background: var(--heat5); margin-left: 0; } .legend .s6 { background: var(--heat6); } .legend .b { background: var(--beyond); } .legend .f { background: var(--far); }
.legend .median { background: var(--heat5); height: 3px; vertical-align: middle; } .legend .worst { background: var(--dim); height: 3px; vertical-align: middle; }
.legend .floor { background: var(--beyond); height: 3px; vertical-align: middle; }
canvas { display: block; width: 100%; cursor: crosshair; touch-action: pan-y; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(260px, 1fr)); gap: 12px; }
figure { margin: 0; background: var(--card); border-radius: 8px; padding: 8px 10px; } figcaption { font-size: 13px; color: var(--dim); } svg { width: 100%; display: block; }
.axis { font: 10px system-ui; fill: var(--dim); } .end { text-anchor: end; } .middle { text-anchor: middle; } .rule { stroke: var(--rule); }
.line { fill: none; stroke-width: 1.6; stroke-linecap: round; } .line.median { stroke: var(--heat5); } .line.worst { stroke: var(--dim); } .line.floor { stroke: var(--beyond); stroke-dasharray: 4 3; }
.bar { fill: var(--heat5); }
#tip { position: fixed; max-width: min(340px, 90vw); background: var(--text); color: var(--page); font-size: 13px; padding: 5px 9px; border-radius: 5px; pointer-events: none; z-index: 2; }
`;
