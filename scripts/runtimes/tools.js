// The tools in whatever runs this, from dist/: a local web, the network's rules, a function, MCP servers.
//
//     npm run build && node scripts/runtimes/tools.js      deno run -A scripts/runtimes/tools.js      bun scripts/runtimes/tools.js
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { nodeTransport } from "../../dist/tools/browser/http-node.js";
import { browserTool, fetchWebPage, functionTool, localWeb, mcpTools } from "../../dist/tools/index.js";

const { signal } = new AbortController();
const never = signal;
const call = (tool, name, args) =>
  tool.call({ recipient: name, function: name, content: JSON.stringify(args) }, { signal: never });

async function check(title, work) {
  const started = performance.now();
  await work();
  console.log(`ok  ${title} (${Math.round(performance.now() - started)} ms)`);
}

await check("browser: search, open, find, cite", async () => {
  const html = "<title>Mount Nide</title><h1>Mount Nide</h1><p>A mountain.<p>It is 3700 metres high.";
  const browser = browserTool({ backend: localWeb([{ url: "https://web.example/nide", title: "Mount Nide", html }]) });
  assert.match((await call(browser, "search", { query: "mount" })).text, /【0†Mount Nide†web\.example】 A mountain\./);
  assert.match((await call(browser, "open", { id: 0 })).text, /^\[1\] Mount Nide \(https:\/\/web\.example\/nide\)/);
  assert.match((await call(browser, "find", { pattern: "HIGH" })).text, /match at L6/);
  assert.equal(
    browser.resolveCitations("3700 m【1†L6】").text,
    "3700 m ([web.example](https://web.example/nide)) ",
  );
});

const server = createServer((request, response) => {
  if (request.url === "/slow") return;
  if (request.url === "/moved") return void response.writeHead(302, { location: "http://10.0.0.1/" }).end();
  const isBomb = request.url === "/bomb";
  const body = gzipSync(isBomb ? Buffer.alloc(100 << 20) : `<title>${request.headers.host}</title>`);
  response.writeHead(200, { "content-type": "text/html", "content-encoding": "gzip" }).end(body);
}).listen(0, "127.0.0.1");
await once(server, "listening");
const host = `127.0.0.1:${server.address().port}`;
const get = (path, options) => fetchWebPage(`http://${host}${path}`, { allowPrivate: [host], ...options }, never);

await check("a page over HTTP, unpacked", async () => {
  assert.equal((await get("/")).content, `<title>${host}</title>`);
});
await check("a redirect to a private address is refused", () => assert.rejects(get("/moved"), /private/));
await check("a bomb is refused", () => assert.rejects(get("/bomb"), /larger/));
await check("a silent server is given up", () => assert.rejects(get("/slow", { timeoutMs: 200 }), /no answer/));
await check("a name that leads to this machine is refused when resolved", async () => {
  const url = new URL(`http://localhost:${server.address().port}/`);
  await assert.rejects(nodeTransport(url, { headers: {}, allowPrivate: false, signal: never }), /private/);
  const { header, body, close } = await nodeTransport(url, { headers: {}, allowPrivate: true, signal: never });
  let text = "";
  for await (const chunk of body) text += new TextDecoder().decode(chunk);
  close();
  assert.equal(header("content-encoding"), "gzip");
  assert.equal(text, `<title>${url.host}</title>`);
});
server.closeAllConnections();
server.close();

await check("a function with a JSON Schema", async () => {
  const parameters = { type: "object", properties: { n: { type: "integer" } }, required: ["n"] };
  const double = functionTool({ name: "double", description: "", parameters, execute: ({ n }) => 2 * n });
  assert.deepEqual(await call(double, "double", { n: 21 }), { text: "42" });
  assert.equal((await call(double, "double", { n: "x" })).isError, true);
});

await check("an MCP server that is a program", async () => {
  const program = fileURLToPath(new URL("../../test/tools/mcp-server.mjs", import.meta.url));
  const tools = await mcpTools({ command: "node", args: [program] });
  const add = tools.find(({ namespace }) => namespace.tools[0].name === "add");
  assert.deepEqual(await call(add, "add", { a: 40, b: 2 }), { text: "42" });
  await add.close();
});
