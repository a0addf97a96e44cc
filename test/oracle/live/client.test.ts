import { describe, expect, it } from "vitest";
import { LiveClient } from "../../../src/oracle/live/client.ts";
import { fakeServer, type Route } from "./fake-server.ts";

/** Asks a server that answers /x like this. */
async function ask(route: Route, options = {}): Promise<unknown> {
  await using server = await fakeServer({ "/x": route });
  return await new LiveClient(server.url, options).post("/x", {});
}

describe("a server that is examined", () => {
  it("is named with or without /v1, and sent the key", async () => {
    await using server = await fakeServer({ "/v1/models": () => ({ data: [] }) });
    for (const url of [server.url, `${server.url}/`, `${server.url}/v1`, `${server.url}/v1/`]) {
      expect(await new LiveClient(url, { apiKey: "key" }).get("/v1/models")).toEqual({ data: [] });
    }
    expect(server.got.map(({ headers }) => headers.authorization)).toEqual(Array(4).fill("Bearer key"));
  });
  it.each(["ftp://x", "x", "file:///etc/passwd", "http://a:b@c", "http://x/?q=1"])("isn't %s", (url) => {
    expect(() => new LiveClient(url)).toThrow(/not the address of a server/);
  });
  it("may not redirect, and the key goes nowhere else", async () => {
    await using other = await fakeServer({ "/x": () => ({}) });
    const redirect: Route = (_, response) =>
      void response.writeHead(307, { location: `${other.url}/x` }).end();
    await expect(ask(redirect, { apiKey: "key" })).rejects.toThrow(/the server redirects .*found http/);
    expect(other.got).toEqual([]);
  });
  it("may not answer without end", async () => {
    let sent = 0;
    let gone = false;
    const endless: Route = (_, response) => {
      const more = (): void => {
        if (response.destroyed) gone = true;
        else if (response.write("x".repeat(65536))) sent += 65536;
        if (!gone) setImmediate(more);
      };
      response.on("error", () => {});
      more();
    };
    await expect(ask(endless, { maxBytes: 10 ** 6 })).rejects.toThrow(/too long .*at most 1000000 bytes/);
    expect(sent).toBeLessThan(2 ** 26);
  });
  it("may not let us wait, with its headers or with the rest", async () => {
    await expect(ask(() => {}, { timeout: 100 })).rejects.toThrow(/takes too long .*expected 0.1 s/);
    const slow: Route = (_, response) => void response.write("{");
    await expect(ask(slow, { timeout: 100 })).rejects.toThrow(/takes too long/);
  });
  it.each([
    ["NaN", '{"logprob": NaN}', /no JSON.*NaN or Infinity, which JSON hasn't/],
    ["a page", "<html>", /no JSON .*found <html>/],
    ["nothing", "", /no JSON/],
    ["brackets without end", "[".repeat(1e6), /no JSON/],
  ])("that answers %s is at fault, in one line", async (_, answer, message) => {
    const error = (await ask((_, response) => void response.end(answer)).catch(
      (each: Error) => each,
    )) as Error;
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain("\n");
  });
  it.each([
    [404, '{"error": {"message": "no such route"}}', true, "no such route"],
    [400, '{"detail": "no echo"}', true, "no echo"],
    [500, "<html>", false, "<html>"],
    [401, '{"error": "who are you?"}', false, "who are you?"],
  ])("that says %i tells why", async (status, body, isRefusal, why) => {
    const error = (await ask((_, response) => void response.writeHead(status).end(body)).catch(
      (each: Error) => each,
    )) as Error;
    expect(error).toMatchObject({ isRefusal, status });
    expect(error.message).toContain(why);
  });
  it("is asked again where it had just closed the connection", async () => {
    let times = 0;
    const flaky: Route = (_, response) => (times++ === 0 ? void response.destroy() : { again: true });
    expect(await ask(flaky)).toEqual({ again: true });
    await expect(ask((_, response) => void response.destroy())).rejects.toThrow(
      /can't speak with the server/,
    );
  });
  it("may be gone", async () => {
    const server = await fakeServer({});
    await server[Symbol.asyncDispose]();
    await expect(new LiveClient(server.url).get("/v1/models")).rejects.toThrow(/can't speak with the server/);
  });
});
