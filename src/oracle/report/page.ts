/** What the report's page is drawn from; arrays are coded so that the page stays small. */
export interface PageData {
  readonly conclusion: string;
  readonly tokens: number;
  /** Tokens in one column of the heat map. */
  readonly perColumn: number;
  readonly ids: readonly number[];
  readonly points: readonly PagePoint[];
}

export interface PagePoint {
  readonly point: string;
  readonly layer: number | null;
  readonly op: string;
  readonly agrees: boolean;
  readonly firstToken: number | null;
  /** Above 1 it is beyond the floor. */
  readonly severity: number;
  readonly median: number | null;
  readonly worst: number | null;
  readonly floor: number | null;
  readonly remark: string;
  readonly ulps: readonly number[];
  /** Largest error and severity of each column, as base64 of bytes: 0 nothing compared, else 1 + 12 · (16 + log₁₀ x). */
  readonly errors: string;
  readonly severities: string;
}

/**
 * Draws the page. It runs in the browser, from its own source text: nothing outside of it can be used.
 */
export function drawPage(data: PageData): void {
  const svgNamespace = "http://www.w3.org/2000/svg";
  const find = <E extends Element>(selector: string): E => document.querySelector<E>(selector)!;
  const bytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const decode = (byte: number): number => (byte <= 1 ? 0 : 10 ** ((byte - 1) / 12 - 16));
  const show = (x: number | null): string => (x === null ? "–" : x === 0 ? "0" : x.toExponential(1));
  const rows = data.points.map((point) => ({
    ...point,
    error: bytes(point.errors),
    ratio: bytes(point.severities),
  }));
  const columns = rows.reduce((most, { ratio }) => Math.max(most, ratio.length), 1);
  const ops = [...new Set(rows.filter(({ layer }) => layer !== null).map(({ op }) => op))];
  const wrong = rows.findIndex(({ agrees }) => !agrees);
  let chosen = wrong < 0 ? rows.length - 1 : wrong;
  const css = (name: string): string =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** From quiet to the floor in six shades; beyond it two of alarm. */
  function shade(severity: number): string {
    if (severity > 10) return css("--far");
    if (severity > 1) return css("--beyond");
    const step = severity === 0 ? 0 : Math.max(1, Math.min(6, Math.round(6 + 2 * Math.log10(severity))));
    return css(`--heat${step}`);
  }

  function element(
    name: string,
    attributes: Record<string, string | number>,
    parent: Element,
    text = "",
  ): Element {
    const made = document.createElementNS(svgNamespace, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    made.textContent = text;
    parent.append(made);
    return made;
  }

  // ---- layers × operations: buttons in a table
  function drawGrid(): void {
    const table = find<HTMLTableElement>("#grid");
    table.replaceChildren();
    const head = table.createTHead().insertRow();
    head.insertCell().textContent = "layer";
    for (const op of ops) {
      const cell = document.createElement("th");
      cell.scope = "col";
      const label = document.createElement("span");
      label.textContent = op;
      cell.append(label);
      head.append(cell);
    }
    const body = table.createTBody();
    const layers = [...new Set(rows.flatMap(({ layer }) => layer ?? []))];
    for (const layer of layers) {
      const line = body.insertRow();
      line.insertCell().textContent = String(layer);
      for (const op of ops) {
        const cell = line.insertCell();
        const index = rows.findIndex((row) => row.layer === layer && row.op === op);
        if (index < 0) continue;
        const row = rows[index]!;
        const button = document.createElement("button");
        button.style.background = shade(row.severity);
        button.title = `${row.point}: ${row.agrees ? "agrees" : row.remark}`;
        button.setAttribute("aria-label", button.title);
        button.setAttribute("aria-pressed", String(index === chosen));
        button.textContent = row.agrees ? "" : "×";
        button.addEventListener("click", () => choose(index));
        cell.append(button);
      }
    }
  }

  // ---- points × tokens
  const canvas = find<HTMLCanvasElement>("#heat");
  const tip = find<HTMLElement>("#tip");
  const gutter = 26; // for the layers' numbers
  const rowHeight = rows.length > 150 ? 5 : rows.length > 60 ? 8 : 14;

  function drawHeat(): void {
    const scale = window.devicePixelRatio || 1;
    const width = canvas.parentElement!.clientWidth;
    canvas.style.height = `${rows.length * rowHeight}px`;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(rows.length * rowHeight * scale);
    const context = canvas.getContext("2d")!;
    const left = gutter * scale;
    const cell = (canvas.width - left) / columns;
    context.font = `${10 * scale}px system-ui, sans-serif`;
    const height = rowHeight * scale;
    for (const [y, row] of rows.entries()) {
      for (let x = 0; x < columns; x++) {
        const byte = row.ratio[x] ?? 0;
        context.fillStyle = byte === 0 ? css("--none") : shade(decode(byte));
        context.fillRect(
          Math.floor(x * cell),
          y * height,
          Math.ceil(cell),
          Math.ceil(height) - (rowHeight > 5 ? 1 : 0),
        );
      }
      if (row.layer !== null && row.layer !== rows[y - 1]?.layer) {
        context.fillStyle = css("--dim");
        context.fillText(String(row.layer), 4 * scale, y * height + 10 * scale);
      }
      if (y === chosen) {
        context.strokeStyle = css("--text");
        context.lineWidth = 2 * scale;
        context.strokeRect(scale, y * height + scale, canvas.width - 2 * scale, height - 2 * scale);
      }
    }
  }

  function place(event: PointerEvent): { y: number; x: number } {
    const box = canvas.getBoundingClientRect();
    const clamp = (value: number, count: number): number =>
      Math.max(0, Math.min(count - 1, Math.floor(value)));
    return {
      y: clamp((event.clientY - box.top) / rowHeight, rows.length),
      x: clamp(((event.clientX - box.left - gutter) / (box.width - gutter)) * columns, columns),
    };
  }

  function hover(event: PointerEvent): void {
    const { x, y } = place(event);
    const row = rows[y]!;
    const from = x * data.perColumn;
    const to = Math.min(data.tokens, from + data.perColumn) - 1;
    const which =
      from === to
        ? `token ${from}${data.ids[from] === undefined ? "" : ` (id ${data.ids[from]})`}`
        : `tokens ${from}–${to}`;
    const byte = row.ratio[x] ?? 0;
    tip.textContent =
      byte === 0
        ? `${row.point}, ${which}: not compared`
        : `${row.point}, ${which}: error ${show(decode(row.error[x]!))}, ${show(decode(byte))} of what noise may`;
    tip.style.left = `${Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
    tip.hidden = false;
  }
  canvas.addEventListener("pointermove", hover);
  canvas.addEventListener("pointerdown", (event) => {
    hover(event);
    choose(place(event).y);
  });
  canvas.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });

  // ---- one point: its tokens and its units of the last place
  function drawChosen(): void {
    const row = rows[chosen];
    if (!row) return;
    find("#name").textContent = row.point;
    find("#verdict").textContent = row.agrees ? "agrees" : row.remark;
    find("#figures").textContent =
      `median ${show(row.median)}, worst ${show(row.worst)}, floor ${show(row.floor)}`;
    const tokens = find<SVGSVGElement>("#tokens");
    tokens.replaceChildren();
    lines(
      tokens,
      [{ values: Array.from(row.error, (byte) => (byte === 0 ? null : decode(byte))), style: "worst" }],
      `token${data.perColumn > 1 ? ` (${data.perColumn} a step)` : ""}`,
      data.perColumn,
    );
    const ulps = find<SVGSVGElement>("#ulps");
    ulps.replaceChildren();
    bars(ulps, row.ulps);
  }

  interface Line {
    readonly values: readonly (number | null)[];
    readonly style: string;
  }

  /** A chart of errors on a logarithmic scale. */
  function lines(svg: SVGSVGElement, all: readonly Line[], label: string, perStep = 1): void {
    const [width, height, left, bottom] = [320, 150, 38, 26];
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const logs = all.flatMap(({ values }) =>
      values.filter((x) => x !== null && x > 0).map((x) => Math.log10(x!)),
    );
    if (logs.length === 0) {
      element("text", { x: left, y: height / 2, class: "axis" }, svg, "no difference");
      return;
    }
    const low = Math.floor(Math.min(...logs));
    const high = Math.max(low + 1, Math.ceil(Math.max(...logs)));
    const count = Math.max(2, ...all.map(({ values }) => values.length));
    const x = (i: number): number => left + (i / (count - 1)) * (width - left - 6);
    const y = (value: number): number =>
      6 + ((high - Math.log10(value)) / (high - low)) * (height - bottom - 12);
    const every = Math.max(1, Math.ceil((high - low) / 4));
    for (let power = low; power <= high; power += every) {
      element(
        "line",
        { x1: left, x2: width - 6, y1: y(10 ** power), y2: y(10 ** power), class: "rule" },
        svg,
      );
      element("text", { x: left - 4, y: y(10 ** power) + 4, class: "axis end" }, svg, `1e${power}`);
    }
    element("text", { x: left, y: height - 6, class: "axis" }, svg, "0");
    element("text", { x: width - 6, y: height - 6, class: "axis end" }, svg, `${(count - 1) * perStep}`);
    element("text", { x: (left + width) / 2, y: height - 6, class: "axis middle" }, svg, label);
    for (const { values, style } of all) {
      let path = "";
      for (const [i, value] of values.entries()) {
        if (value === null || value <= 0) continue;
        const joined = path !== "" && (values[i - 1] ?? 0) > 0;
        path += `${joined ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
        if (!joined && !((values[i + 1] ?? 0) > 0)) path += "h.1";
      }
      element("path", { d: path, class: `line ${style}` }, svg);
    }
  }

  function bars(svg: SVGSVGElement, counts: readonly number[]): void {
    const [width, height, left, bottom] = [320, 150, 8, 26];
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const total = counts.reduce((a, b) => a + b, 0) || 1;
    const most = Math.max(1, ...counts);
    const step = (width - 2 * left) / Math.max(1, counts.length);
    for (const [i, count] of counts.entries()) {
      const tall = (count / most) * (height - bottom - 10);
      const bar = element(
        "rect",
        {
          x: left + i * step,
          y: height - bottom - tall,
          width: step - 1,
          height: Math.max(count > 0 ? 1 : 0, tall),
          class: "bar",
        },
        svg,
      );
      const range = i === 0 ? "equal" : i === counts.length - 1 ? "more" : `at most ${2 ** (i - 1)} ulp`;
      element("title", {}, bar, `${range}: ${((100 * count) / total).toFixed(2)} %`);
      if (i % 4 === 0)
        element(
          "text",
          { x: left + i * step, y: height - 8, class: "axis" },
          svg,
          i === 0 ? "0" : `2^${i - 1}`,
        );
    }
  }

  // ---- errors of each operation by layer
  function drawOps(): void {
    const box = find<HTMLElement>("#ops");
    box.replaceChildren();
    for (const op of ops) {
      const members = rows.filter((row) => row.op === op && row.worst !== null);
      if (members.length === 0) continue;
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      caption.textContent = op;
      const svg = document.createElementNS(svgNamespace, "svg") as SVGSVGElement;
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", `errors of ${op} by layer`);
      figure.append(caption, svg);
      box.append(figure);
      const values = (of: (row: (typeof rows)[number]) => number | null): (number | null)[] =>
        members.map(of);
      lines(svg, [
        { values: values(({ floor }) => floor), style: "floor" },
        { values: values(({ worst }) => worst), style: "worst" },
        { values: values(({ median }) => median), style: "median" },
      ], "layer"); // biome-ignore format: one chart
    }
  }

  function choose(index: number): void {
    chosen = index;
    draw();
  }

  function draw(): void {
    drawGrid();
    drawHeat();
    drawChosen();
    drawOps();
  }

  draw();
  canvas.parentElement!.scrollTop = chosen * rowHeight - 200;
  window.addEventListener("resize", drawHeat);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}
