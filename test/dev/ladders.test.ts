import { describe, expect, test } from "vitest";
import { check, compileLadders, LADDERS } from "../../dev/ladders.ts";

describe("each rung of a ladder gives the reference's result", async () => {
  const module = await compileLadders(LADDERS);
  test.each(LADDERS)("$kernel", (ladder) => {
    expect(() => check(ladder, module)).not.toThrow();
  });
});
