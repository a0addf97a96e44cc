import { expect, test } from "vitest";
import { StopStrings } from "../../src/generation/stop-strings.ts";

function run(stops: string[], pieces: string[]): { shown: string[]; found: boolean } {
  const watch = new StopStrings(stops);
  const shown = pieces.map((piece) => watch.push(piece));
  return { shown: watch.found ? shown : [...shown, watch.end()], found: watch.found };
}

test("text passes when there is nothing to stop at", () => {
  expect(run([], ["a", "b"])).toEqual({ shown: ["a", "b", ""], found: false });
  expect(run([""], ["a"])).toEqual({ shown: ["a", ""], found: false });
});

test("a stop string is cut, with what follows it", () => {
  expect(run(["END"], ["one END two", "three"])).toEqual({ shown: ["one ", ""], found: true });
});

test("a stop string split over pieces is never shown in part", () => {
  expect(run(["END"], ["a E", "N", "D b"])).toEqual({ shown: ["a ", "", ""], found: true });
  expect(run(["END"], ["a E", "N", "d b"])).toEqual({ shown: ["a ", "", "ENd b", ""], found: false });
});

test("what was held back comes at the end", () => {
  expect(run(["END"], ["a EN"])).toEqual({ shown: ["a ", "EN"], found: false });
});

test("overlapping beginnings are tried anew", () => {
  expect(run(["aab"], ["aa", "ab!"])).toEqual({ shown: ["", "a"], found: true });
});

test("the earliest of several stop strings counts", () => {
  expect(run(["xyz", "b"], ["abxyz"])).toEqual({ shown: ["a"], found: true });
});
