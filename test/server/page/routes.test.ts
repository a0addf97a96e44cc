import { expect, test } from "vitest";
import { pageRoutes } from "../../../src/server/page/routes.ts";

const app = pageRoutes();

test("the page and its files are served, with a policy that lets it load and run nothing else", async () => {
  const html = await (await app.request("/")).text();
  const names = [...html.matchAll(/(?:href|src)="\.\/([^"]+)"/g)].map(([, name]) => name!);
  expect(names.toSorted()).toEqual(["icon.svg", "main.js", "style.css"]);
  expect(html).not.toMatch(/https?:\/\/|\sstyle=|<style|\son\w+=|<script(?! type="module" src=)/);
  for (const name of ["", ...names]) {
    const { status, headers } = await app.request(`/${name}`);
    expect(status).toBe(200);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    const policy = headers.get("content-security-policy")!;
    expect(policy).toMatch(/default-src 'none'; script-src 'self';/);
    expect(policy).not.toMatch(/unsafe|\*|http|data:/);
  }
});

test("nothing else beside it is", async () => {
  for (const path of ["/routes.js", "/../routes.js", "/%2e%2e/routes.js", "/licences.txt", "/main.ts"])
    expect((await app.request(path)).status).toBe(404);
});
