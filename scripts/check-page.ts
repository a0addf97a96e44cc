/**
 * The chat page in a real browser: a server with the small checkpoint, and one that plays scripted answers, among them
 * hostile ones. Writes screenshots, fails where the page doesn't do what it should.
 *
 *     npm run build && npx tsx scripts/check-page.ts [--chromium PATH] [--screenshots FOLDER]
 *
 * PATH is Chromium or Chrome, by default `chromium`.
 */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { parseArgs } from "node:util";
import { load } from "gpt-oss-ts";
import { createServer, serve } from "gpt-oss-ts/server";
import { pythonTool } from "gpt-oss-ts/tools";
import puppeteer, { type Page } from "puppeteer-core";

const { values } = parseArgs({
  options: {
    chromium: { type: "string", default: "chromium" },
    screenshots: { type: "string", default: "/tmp/gpt-oss-page" },
  },
});
const KEY = "a-key-for-the-check";
const PATIENCE = 120_000;
await mkdir(values.screenshots, { recursive: true });

await using model = await load("golden/small");
const server = createServer(model, {
  id: "gpt-oss-small",
  builtInTools: { names: ["python"], open: async (names) => names.map(() => pythonTool()) },
});
const listening = await serve(server, { port: 0 });
const guarded = createServer(model, { id: "gpt-oss-small", apiKeys: [KEY] });
const guardedListening = await serve(guarded, { port: 0 });

const browser = await puppeteer.launch({
  executablePath: values.chromium.includes("/") ? values.chromium : `/usr/bin/${values.chromium}`,
  args: ["--no-sandbox", "--disable-gpu"],
});
try {
  await realModel();
  await apiKey();
  await hostileModel();
} finally {
  await browser.close();
  await Promise.all([server.close(0), guarded.close(0)]);
  await Promise.all([listening.stop(), guardedListening.stop()]);
}
console.log(`all is well; screenshots in ${values.screenshots}`);

/** A page of its own, which notes what the browser complains of. */
async function open(url: string): Promise<{ page: Page; complaints: string[]; requests: string[] }> {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => requests.push(request.url()));
  await page.goto(url, { waitUntil: "networkidle0" });
  return { page, complaints, requests };
}

/** Asks by keyboard alone. */
async function ask(page: Page, question: string): Promise<void> {
  await page.keyboard.type(question);
  await page.keyboard.press("Enter");
}

async function ended(page: Page, turn: number): Promise<void> {
  await page.waitForSelector(`.turn:nth-child(${turn}) .stats`);
}

/** As it is shown: what is folded isn't. */
function textOf(page: Page, selector: string): Promise<string> {
  return page.$$eval(selector, (elements) =>
    // biome-ignore lint/performance/useDomNodeTextContent: what isn't shown doesn't count
    elements.map((element) => (element as HTMLElement).innerText).join("\n"),
  );
}

async function screenshot(page: Page, name: string): Promise<void> {
  await page.screenshot({ path: `${values.screenshots}/${name}.png` });
}

async function checkNoSidewaysScroll(page: Page): Promise<void> {
  const [width, room] = await page.evaluate(() => [
    Math.max(document.documentElement.scrollWidth, document.getElementById("log")!.scrollWidth),
    window.innerWidth,
  ]);
  assert(width! <= room!, `${width} pixels in ${room}`);
}

async function realModel(): Promise<void> {
  const { page, complaints, requests } = await open(listening.url);
  const bodies: { reasoning: { effort: string }; tools?: unknown }[] = [];
  page.on("request", (request) => {
    if (request.url().endsWith("/v1/responses")) bodies.push(JSON.parse(request.postData() ?? "{}"));
  });
  await screenshot(page, "empty");

  await ask(page, "What is 47 + 38?");
  await ended(page, 1);
  assert.match(await textOf(page, ".turn:nth-child(1) .answer"), /47 \+ 38 = 85/);
  assert.match(await textOf(page, ".stats"), /\d+ tokens, \d+\.\d a second/);
  assert.match(await textOf(page, "summary"), /^Thought for \d/);
  assert.equal(await textOf(page, ".folded"), "", "reasoning is folded");
  await page.click("summary");
  assert.match(await textOf(page, ".folded"), /7\+8=15/);
  console.log("answers, and folds its reasoning");

  await page.focus("input[name=effort]:checked");
  await page.keyboard.press("ArrowLeft"); // from medium to low
  await page.click("input[value=python]");
  await page.focus("#question");
  await ask(page, "What is 47 * 38?");
  await ended(page, 2);
  assert.deepEqual(
    bodies.map(({ reasoning, tools }) => [reasoning.effort, tools !== undefined]),
    [
      ["medium", false],
      ["low", true],
    ],
  );
  assert.match(await textOf(page, ".call summary"), /Used Python/);
  await page.click(".call summary");
  assert.match(await textOf(page, ".call .input"), /print\(47\*38\)/);
  assert.match(await textOf(page, ".call .result"), /1786/);
  await screenshot(page, "light");
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
  await screenshot(page, "dark");
  console.log("has a switch for effort, and shows what tools do");

  await page.reload({ waitUntil: "networkidle0" });
  assert.match(await textOf(page, ".answer"), /85[\s\S]*1786/);
  assert.equal(
    await page.$eval("input[name=effort]:checked", (input) => (input as HTMLInputElement).value),
    "low",
  );
  await page.setViewport({ width: 360, height: 640, isMobile: true, hasTouch: true });
  await checkNoSidewaysScroll(page);
  await screenshot(page, "phone-dark");
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
  await screenshot(page, "phone-light");
  console.log("keeps the conversation over a reload, and fits a phone");

  await page.click("#new");
  assert.equal(await page.$(".turn"), null);
  assert.deepEqual(complaints, []);
  assert.deepEqual(
    requests.filter((url) => !url.startsWith(listening.url)),
    [],
    "requests to other hosts",
  );
}

async function apiKey(): Promise<void> {
  const { page } = await open(guardedListening.url);
  await page.waitForSelector("#key", { visible: true });
  await screenshot(page, "key");
  await page.keyboard.type(KEY);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#key", { hidden: true });
  await page.focus("#question");
  await ask(page, "What is 47 + 38?");
  await ended(page, 1);
  assert.match(await textOf(page, ".answer"), /85/);
  console.log("asks for an API key where one is needed");
}

/** A server with our page and a model that writes whatever is worst. */
async function hostileModel(): Promise<void> {
  const evil = [
    "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script>",
    "[click](javascript:document.title='owned') ![pixel](http://192.0.2.1/pixel.png) <https://example.com/?a=1>",
    "```html\n<iframe srcdoc=\"<script>parent.document.title='owned'</script>\"></iframe>\n```",
    "| a | b |\n|---|--:|\n| `<b>` | ~~2~~ |",
    `x${"very".repeat(200)}long`,
    `\n\n\`\`\`\n${"wide ".repeat(100)}\n\`\`\``,
  ].join("\n\n");
  let aborted = false;
  let status = 200;
  const upstream = createHttpServer(async (request, response) => {
    if (request.url !== "/v1/responses") {
      const answer = await server.fetch(new Request(new URL(request.url!, listening.url)));
      response.writeHead(answer.status, Object.fromEntries(answer.headers));
      response.end(Buffer.from(await answer.arrayBuffer()));
      return;
    }
    if (status !== 200) {
      response.writeHead(status, { "retry-after": "7", "content-type": "application/json" });
      response.end(JSON.stringify({ error: { message: "<b>busy</b>" } }));
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const event = (data: object): boolean => response.write(`data: ${JSON.stringify(data)}\n\n`);
    event({ type: "response.output_item.added", output_index: 0, item: { type: "message" } });
    for (let at = 0; at < evil.length; at += 7)
      event({ type: "response.output_text.delta", output_index: 0, delta: evil.slice(at, at + 7) });
    const timer = setInterval(
      () => event({ type: "response.output_text.delta", output_index: 0, delta: " more" }),
      50,
    );
    response.on("close", () => {
      aborted = true;
      clearInterval(timer);
    });
  }).listen(0, "localhost");
  await new Promise((resolve) => upstream.once("listening", resolve));
  const url = `http://localhost:${(upstream.address() as AddressInfo).port}`;
  try {
    const { page, complaints, requests } = await open(url);
    await ask(page, "Do your worst.");
    await page.waitForFunction(() => document.querySelector(".answer")?.textContent?.includes("more more"));
    await page.keyboard.press("Escape");
    await ended(page, 1);
    assert.match(await textOf(page, ".stats"), /Stopped/);
    while (!aborted) await new Promise((resolve) => setTimeout(resolve, 20));
    console.log("stops a long answer, and the server with it");

    assert.equal(await page.title(), "gpt-oss");
    const inside = await page.$$eval(".answer *", (elements) => [
      ...new Set(elements.map((e) => e.localName)),
    ]);
    assert.deepEqual(
      inside.filter((name) => ["img", "script", "iframe", "b"].includes(name)),
      [],
    );
    const links = await page.$$eval(".answer a[href]", (elements) =>
      elements.map((e) => (e as HTMLAnchorElement).href),
    );
    assert.deepEqual(links, ["http://192.0.2.1/pixel.png", "https://example.com/?a=1"]);
    assert.match(await textOf(page, ".answer"), /<img src=x onerror=/);
    assert.deepEqual(
      requests.filter((other) => !other.startsWith(url)),
      [],
      "requests to other hosts",
    );
    assert.deepEqual(complaints, [], "nothing that the policy had to forbid");
    await page.setViewport({ width: 360, height: 640, isMobile: true, hasTouch: true });
    await checkNoSidewaysScroll(page);
    await screenshot(page, "hostile");
    console.log("shows hostile output as text");

    status = 429;
    await page.focus("#question"); // becoming a phone has reloaded the page
    await ask(page, "Once more");
    await ended(page, 2);
    assert.match(await textOf(page, ".problem"), /busy. Try again in 7 s/);
    await screenshot(page, "busy");
    upstream.closeAllConnections();
    upstream.close();
    await page.click(".turn:nth-child(2) .small");
    await page.waitForFunction(() => document.querySelector(".problem")?.textContent?.includes("reached"));
    console.log("says in words what went wrong");
  } finally {
    upstream.closeAllConnections();
    upstream.close();
  }
}
