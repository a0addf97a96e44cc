import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkUrl, isPublicAddress } from "../../src/tools/browser/address.ts";
import { decodeText } from "../../src/tools/browser/charset.ts";
import {
  backendFromEnvironment,
  browserTool,
  exa,
  fetchWebPage,
  localWeb,
  searxng,
  type WebOptions,
  you,
} from "../../src/tools/index.ts";

const never = new AbortController().signal;
const latin = (text: string) => Buffer.from(text, "latin1");

/** What the server was asked, newest last. */
const requests: { method: string; url: string; headers: IncomingMessage["headers"]; body: string }[] = [];
type Route = (request: IncomingMessage, response: ServerResponse, body: string) => unknown;

const page = (
  body: string | Buffer,
  headers: Record<string, string> = { "content-type": "text/html" },
): Route => {
  return (_request, response) => response.writeHead(200, headers).end(body);
};
const redirect = (location: string, status = 302): Route => {
  return (_request, response) => response.writeHead(status, { location, "set-cookie": "a=b" }).end();
};
const html = { "content-type": "text/html" };

const routes: Record<string, Route> = {
  "/page": page("<title>T</title><p>Hello <a href='other'>other</a>"),
  "/dir/moved": redirect("../page", 301),
  "/loop": redirect("/loop"),
  "/to-private": redirect("http://10.0.0.1/"),
  "/to-metadata": redirect("http://169.254.169.254/latest/meta-data/"),
  "/to-file": redirect("file:///etc/passwd"),
  "/to-nonsense": redirect("http://["),
  "/redirect-without-location": (_q, response) => response.writeHead(302).end("nothing"),
  "/gzip": page(gzipSync("<p>packed"), { ...html, "content-encoding": "gzip" }),
  "/brotli": page(brotliCompressSync("<p>packed"), { ...html, "content-encoding": "br" }),
  "/odd-encoding": page("x", { ...html, "content-encoding": "zstd" }),
  "/broken-gzip": page(gzipSync("<p>packed").subarray(0, 12), { ...html, "content-encoding": "gzip" }),
  "/bomb": page(gzipSync(Buffer.alloc(200 << 20)), { ...html, "content-encoding": "gzip" }),
  "/endless": (_request, response) => {
    response.writeHead(200, html);
    const more = () => {
      while (!response.destroyed && response.write("x".repeat(65_536)));
    };
    response.on("drain", more);
    more();
  },
  "/slow": (_request, response) => {
    response.writeHead(200, html);
    const timer = setInterval(() => response.write("."), 20);
    response.on("close", () => clearInterval(timer));
  },
  "/silent": () => {},
  "/cut": (_request, response) => {
    response.writeHead(200, { ...html, "content-length": "1000" });
    response.write("<p>half");
    setTimeout(() => response.destroy(), 20);
  },
  "/long-header": (_request, response) =>
    response.writeHead(200, { ...html, x: "y".repeat(100_000) }).end("x"),
  "/pdf": page("%PDF-1.7", { "content-type": "application/pdf" }),
  "/image": page("x", { "content-type": "image/png" }),
  "/json": page('{"a":\n 1}', { "content-type": "application/json; charset=utf-8" }),
  "/feed": page("<rss><a>1</a></rss>", { "content-type": "application/rss+xml" }),
  "/plain": page("line 【1†x】\r\nline <b>", { "content-type": "text/plain" }),
  "/untyped": page("<!doctype html><p>guessed", {}),
  "/binary": page("\0\0\0", {}),
  "/missing": (_request, response) => response.writeHead(404, html).end("<p>gone"),
  "/windows": page(latin("<p>caf\xe9 \x80"), { "content-type": "text/html; charset=windows-1252" }),
  "/meta": page(latin('<meta charset="iso-8859-2"><p>\xb1'), html),
  "/no-such-charset": page("<p>é", { "content-type": "text/html; charset=nonsense" }),
  "/utf16": page(Buffer.from("\ufeff<p>é", "utf16le"), { "content-type": "text/html; charset=utf-8" }),
};

let origin = "";
const server = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  requests.push({ method: request.method!, url: request.url!, headers: request.headers, body });
  const route = routes[new URL(request.url!, "http://x").pathname];
  if (route) route(request, response, body);
  else response.writeHead(404).end("no route");
});
beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const get = (path: string, options: WebOptions = {}, signal = never) =>
  fetchWebPage(origin + path, { allowPrivate: true, ...options }, signal);

describe("a page is fetched", () => {
  test("by GET, with an honest name, without cookies", async () => {
    expect(await get("/page")).toEqual({
      url: `${origin}/page`,
      content: "<title>T</title><p>Hello <a href='other'>other</a>",
      kind: "html",
    });
    const { method, headers } = requests.at(-1)!;
    expect(method).toBe("GET");
    expect(headers["user-agent"]).toBe("gpt-oss-ts");
    expect(headers.host).toBe(origin.slice(7));
    expect(headers.cookie).toBeUndefined();
  });

  test("through redirects, whose cookies are forgotten; links are relative to where it was", async () => {
    const { url } = await get("/dir/moved");
    expect(url).toBe(`${origin}/page`);
    expect(requests.at(-1)!.headers.cookie).toBeUndefined();
    const browser = browserTool({ backend: searxng({ url: origin, allowPrivate: true }) });
    const open = (args: unknown) =>
      browser.call(
        { recipient: "browser.open", function: "open", content: JSON.stringify(args) },
        { signal: never },
      );
    expect((await open({ id: `${origin}/dir/moved` })).text).toContain(`[0] T (${origin}/page)`);
    await open({ id: 0 });
    expect(requests.at(-1)!.url).toBe("/other");
  });

  test.each([
    ["/gzip", "<p>packed"],
    ["/brotli", "<p>packed"],
    ["/windows", "<p>café €"],
    ["/meta", '<meta charset="iso-8859-2"><p>ą'],
    ["/no-such-charset", "<p>é"],
    ["/utf16", "<p>é"],
    ["/untyped", "<!doctype html><p>guessed"],
  ])("%s reads %j", async (path, content) => {
    expect(await get(path)).toMatchObject({ content, kind: "html" });
  });

  test.each(["/json", "/feed", "/plain"])("%s is text", async (path) => {
    expect(await get(path)).toMatchObject({ kind: "text" });
  });

  test.each([
    ["/missing", "HTTP status 404"],
    ["/redirect-without-location", "HTTP status 302"],
    ["/pdf", "PDF"],
    ["/image", "image/png"],
    ["/binary", "no text"],
    ["/loop", "more than 5 redirects"],
    ["/to-file", "only http and https"],
    ["/to-nonsense", "Invalid URL"],
    ["/odd-encoding", "compressed in an unknown way"],
    ["/broken-gzip", "unexpected end of file"],
    ["/bomb", "larger than 8388608 bytes"],
    ["/endless", "larger than 8388608 bytes"],
    ["/cut", "aborted"],
    ["/long-header", "Header"],
  ])("%s is refused: %s", async (path, message) => {
    await expect(get(path)).rejects.toThrow(message);
  });

  test.each(["/slow", "/silent"])("%s: no answer in time", async (path) => {
    const started = performance.now();
    await expect(get(path, { timeoutMs: 200 })).rejects.toThrow("no answer within 0.2 seconds");
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test("an aborted call rejects with its reason", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 50);
    await expect(get("/slow", {}, controller.signal)).rejects.toBe(reason);
  });
});

describe("private addresses are refused", () => {
  test("in the model's words, before anything is sent", async () => {
    const before = requests.length;
    await expect(fetchWebPage(`${origin}/page`, {}, never)).rejects.toThrow(/port|private/);
    expect(requests.length).toBe(before);
  });

  test("where a name leads to one, when it is resolved", async () => {
    // the spelling is let through, so that only the resolved address can be what is refused
    const { nodeTransport } = await import("../../src/tools/browser/http-node.ts");
    const url = new URL(`http://localhost:${(server.address() as AddressInfo).port}/page`);
    const options = { headers: {}, allowPrivate: false, signal: never };
    const before = requests.length;
    await expect(nodeTransport(url, options)).rejects.toThrow("private and local");
    expect(requests.length).toBe(before);
    const response = await nodeTransport(url, { ...options, allowPrivate: true });
    expect(response.status).toBe(200);
    response.close();
  });

  test.each(["/to-private", "/to-metadata", "/to-other-name"])("where %s redirects", async (path) => {
    routes["/to-other-name"] = redirect(`http://localhost:${new URL(origin).port}/page`);
    const before = requests.length;
    await expect(get(path, { allowPrivate: [new URL(origin).host] })).rejects.toThrow(
      /private and local|port/,
    );
    expect(requests.slice(before).map(({ url }) => url)).toEqual([path]);
  });

  test.each([
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://10.1.2.3/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://169.254.169.254/",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:1::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://a.localhost/",
    "http://printer.local/",
    "http://metadata.google.internal/",
    "http://router/",
    "http://１２７.0.0.1/",
    "https://example.com:22/",
    "https://example.com:6379/",
    "https://user@example.com/",
    "https://:pw@example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "data:text/html,x",
    "javascript:alert(1)",
    "gopher://example.com/",
    "view-source:https://example.com/",
    "/etc/passwd",
    "",
  ])("%s", async (address) => {
    await expect(checkUrl(address, false)).rejects.toThrow(Error);
  });

  test.each([
    "http://example.com/",
    "https://example.com:8443/x?y#z",
    "http://1.1.1.1/",
    "http://[2606:4700::1111]/",
    "https://пример.рф/",
  ])("%s isn't one", async (address) => {
    expect((await checkUrl(address, false)).href).toContain("http");
  });

  test.each(["not an address", "", "1.2.3", "127.0.0.1.", "fe80::1%eth0"])(
    "%j is no public address",
    async (address) => {
      expect(await isPublicAddress(address)).toBe(false);
    },
  );
});

test.each([
  ["a byte order mark goes before the header", Buffer.from("\ufeffé", "utf16le"), "utf-8", "é"],
  [
    "what claims to be UTF-16 in ASCII isn't",
    Buffer.from('<meta charset="utf-16">é'),
    undefined,
    '<meta charset="utf-16">é',
  ],
  [
    "http-equiv",
    latin('<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">\xc1'),
    undefined,
    '<meta http-equiv="Content-Type" content="text/html; charset=koi8-r">а',
  ],
  ["bytes that aren't UTF-8 are windows-1252", latin("\x93x\x94"), undefined, "“x”"],
  ["a wrong header gives replacement characters", latin("\xe9"), "utf-8", "\ufffd"],
] as const)("%s", (_name, bytes, charset, text) => {
  expect(decodeText(bytes, charset)).toBe(text);
});

describe("back ends", () => {
  const json = (value: unknown): Route => page(JSON.stringify(value), { "content-type": "application/json" });
  const show = async (backend: Parameters<typeof browserTool>[0]["backend"], name: string, args: unknown) => {
    const browser = browserTool({ backend });
    const call = { recipient: `browser.${name}`, function: name, content: JSON.stringify(args) };
    return (await browser.call(call, { signal: never })).text;
  };

  test("SearXNG: https://docs.searxng.org/dev/search_api.html", async () => {
    routes["/sub/search"] = json({
      query: "q",
      number_of_results: 0,
      results: [
        {
          url: "https://a.example/1",
          title: "A <b>title</b>",
          content: "Sum & mary",
          engine: "x",
          parsed_url: [],
        },
        { url: "https://b.example/", title: "", content: null },
        { url: "magnet:?xt=1", title: "no page" },
      ],
      suggestions: [],
    });
    expect(await show(searxng({ url: `${origin}/sub` }), "search", { query: "a b&c" })).toBe(
      [
        "[0] a b&c",
        "**viewing lines [0 - 5] of 5**",
        "",
        "L0: ",
        "L1: URL: ",
        "L2: # Search Results",
        "L3: ",
        "L4:   * 【0†A <b>title</b>†a.example】 Sum & mary",
        "L5:   * 【1†https://b.example/†b.example】",
      ].join("\n"),
    );
    expect(requests.at(-1)!.url).toBe("/sub/search?q=a+b%26c&format=json");
    delete routes["/sub/search"];
    expect(await show(searxng({ url: `${origin}/sub/` }), "search", { query: "x" })).toBe(
      "Error during search for `x`: SearXNG error 404: no route",
    );
  });

  test("Exa: https://docs.exa.ai/reference", async () => {
    routes["/search"] = json({
      requestId: "r",
      results: [{ id: "i", title: "T", url: "https://a.example/1", summary: "S" }],
    });
    routes["/contents"] = (_request, response, body) => {
      const found = JSON.parse(body).urls[0] === "https://a.example/1";
      const results = found
        ? [{ id: "i", url: "https://a.example/1", title: "From Exa", text: "<p>x <a href=/2>two</a>" }]
        : [];
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(JSON.stringify({ results, statuses: [] }));
    };
    const backend = exa({ apiKey: "secret", url: origin });
    expect(await show(backend, "search", { query: "q" })).toContain("L4:   * 【0†T†a.example】 S");
    expect(requests.at(-1)).toMatchObject({
      method: "POST",
      url: "/search",
      headers: { "x-api-key": "secret" },
    });
    expect(JSON.parse(requests.at(-1)!.body)).toEqual({
      query: "q",
      numResults: 20,
      contents: { summary: true },
    });
    expect(await show(backend, "open", { id: "https://a.example/1" })).toBe(
      "[0] From Exa (https://a.example/1)\n**viewing lines [0 - 2] of 2**\n\nL0: \nL1: URL: https://a.example/1\nL2: x 【0†two】",
    );
    expect(JSON.parse(requests.at(-1)!.body)).toEqual({
      urls: ["https://a.example/1"],
      text: { includeHtmlTags: true },
    });
    expect(await show(backend, "open", { id: "https://a.example/2" })).toBe(
      "Error fetching URL `https://a.example/2`: No contents returned for https://a.example/2",
    );
    expect(await show(backend, "open", { id: "http://intranet/" })).toContain("private and local");
  });

  test("You.com: https://you.com/docs/api-reference", async () => {
    routes["/v1/search"] = json({
      results: {
        web: [{ url: "https://a.example/", title: "W", description: "D", snippets: ["one", "two"] }],
        news: [{ url: "https://n.example/", title: "N", description: "News" }],
      },
      metadata: { query: "q" },
    });
    routes["/v1/contents"] = json([
      { url: "https://a.example/", title: "From You", html: "<p>y", markdown: "y" },
    ]);
    const backend = you({ apiKey: "secret", url: origin });
    const results = await show(backend, "search", { query: "q" });
    expect(results).toContain("【0†W†a.example】 one two");
    expect(results).toContain("【1†N†n.example】 News");
    expect(requests.at(-1)).toMatchObject({
      url: "/v1/search?query=q&count=20",
      headers: { "x-api-key": "secret" },
    });
    expect(await show(backend, "open", { id: "https://a.example/" })).toContain(
      "[0] From You (https://a.example/)",
    );
    expect(JSON.parse(requests.at(-1)!.body)).toEqual({ urls: ["https://a.example/"], formats: ["html"] });
  });

  test("a key isn't sent on to where a service redirects, nor told to the model", async () => {
    routes["/search"] = redirect("/elsewhere", 307);
    const before = requests.length;
    const text = await show(exa({ apiKey: "secret", url: origin }), "search", { query: "q" });
    expect(text).toContain("Error during search");
    expect(text).not.toContain("secret");
    expect(requests.slice(before).map(({ url }) => url)).toEqual(["/search"]);
  });

  test.each([
    null,
    [],
    "x",
    { results: "x" },
    { results: [null] },
    { results: [{ url: 5 }] },
    { results: { web: 5 } },
  ])("the odd answer %j makes none of them crash", async (answer) => {
    routes["/search"] = routes["/v1/search"] = routes["/contents"] = routes["/v1/contents"] = json(answer);
    for (const backend of [
      searxng({ url: origin }),
      exa({ apiKey: "k", url: origin }),
      you({ apiKey: "k", url: origin }),
    ]) {
      expect(await show(backend, "search", { query: "q" })).toMatch(/^\[0\] q\n|^Error during search/);
    }
    for (const backend of [exa({ apiKey: "k", url: origin }), you({ apiKey: "k", url: origin })]) {
      expect(await show(backend, "open", { id: "https://a.example/" })).toMatch(
        /^\[0\] |^Error fetching URL/,
      );
    }
  });

  test("the environment names one", () => {
    expect(backendFromEnvironment({})).toBeUndefined();
    expect(backendFromEnvironment({ SEARXNG_URL: "", EXA_API_KEY: "k" })).toBeDefined();
    expect(backendFromEnvironment({ YDC_API_KEY: "k" })).toBeDefined();
    expect(backendFromEnvironment({ SEARXNG_URL: origin })).toBeDefined();
  });

  test("a local web ranks by different words of title and paragraphs, five at most", async () => {
    const made = (n: number, title: string, text: string) => ({
      url: `https://web.example/${n}`,
      title,
      html: `<html><head><title>${title}</title></head><body><h1>${title} heading</h1>${text}</body></html>`,
    });
    const pages = [
      made(0, "Mount Atome", "<p>Mount Atome is a mountain near Mount Fehes.</p><p>Its height is 9.</p>"),
      made(
        1,
        "Mount Nide",
        "<p>Mount Nide is a mountain\nnear Mount Atome.</p><p>The height of Mount Nide is 3700 meters.</p>",
      ),
      made(2, "Lake Ude", "<p>Lake Ude is a lake. Heights nearby.</p><div>mount in no paragraph</div>"),
      ...[3, 4, 5, 6, 7].map((n) => made(n, `Mount ${n}`, "<p>A mount.</p>")),
    ];
    const text = await show(localWeb(pages), "search", { query: "mount MOUNT Nide, height?", topn: 20 });
    expect(text.split("\n").slice(7)).toEqual([
      "L4:   * 【0†Mount Nide†web.example】 Mount Nide is a mountain near Mount Atome.",
      "L5:   * 【1†Mount Atome†web.example】 Mount Atome is a mountain near Mount Fehes.",
      "L6:   * 【2†Mount 3†web.example】 A mount.",
      "L7:   * 【3†Mount 4†web.example】 A mount.",
      "L8:   * 【4†Mount 5†web.example】 A mount.",
    ]);
    expect(await show(localWeb(pages), "open", { id: "https://web.example/9" })).toContain(
      "No contents returned",
    );
    expect((await show(localWeb(pages), "search", { query: "?" })).split("\n").at(-1)).toBe(
      "L2: # Search Results",
    );
  });
});
