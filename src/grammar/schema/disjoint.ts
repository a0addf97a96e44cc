import type { Alternative, ArrayAlternative, NumberAlternative, ObjectAlternative } from "./alternatives.ts";
import type { Meaning } from "./meaning.ts";
import type { Conjunction } from "./schemas.ts";

/** How far into values the proof looks, and how many items of an array. */
const MAX_DEPTH = 6;
const MAX_ITEMS = 20;

/** Whether it's proven that no value is valid for both; false may mean that the proof wasn't found. */
export function disjoint(meaning: Meaning, a: Alternative, b: Alternative, depth = 0): boolean {
  if (a.kind === "value") return meaning.fits(a.value, b) === false;
  if (b.kind === "value") return meaning.fits(b.value, a) === false;
  if (a.kind === "number" && b.kind === "number") return apart(a, b);
  if (a.kind === "string" && b.kind === "string") {
    if (a.min > b.max || b.min > a.max) return true;
    if (a.patterns.length + a.excluded.length + b.patterns.length + b.excluded.length === 0) return false;
    const excluded = [...a.excluded, ...b.excluded];
    const min = Math.max(a.min, b.min);
    const max = Math.min(a.max, b.max);
    const patterns = [...new Set([...a.patterns, ...b.patterns])];
    return meaning.textsOf({ kind: "string", patterns, formats: [], excluded, min, max }, true).size === 0;
  }
  if (depth > MAX_DEPTH) return false;
  if (a.kind === "array" && b.kind === "array") return arraysApart(meaning, a, b, depth);
  if (a.kind === "object" && b.kind === "object") return objectsApart(meaning, a, b, depth);
  return a.kind !== b.kind;
}

function apart(a: NumberAlternative, b: NumberAlternative): boolean {
  const above = ({ min }: NumberAlternative, { max }: NumberAlternative): boolean =>
    min !== undefined &&
    max !== undefined &&
    (min.value > max.value || (min.value === max.value && (min.exclusive || max.exclusive)));
  return above(a, b) || above(b, a);
}

function arraysApart(meaning: Meaning, a: ArrayAlternative, b: ArrayAlternative, depth: number): boolean {
  if (a.min > b.max || b.min > a.max) return true;
  for (let index = 0; index < Math.min(MAX_ITEMS, Math.max(a.min, b.min)); index++) {
    if (valuesApart(meaning, meaning.item(a, index), meaning.item(b, index), depth)) return true;
  }
  return false;
}

// A property that one of them requires has to be valid for both.
function objectsApart(meaning: Meaning, a: ObjectAlternative, b: ObjectAlternative, depth: number): boolean {
  if (a.min > b.max || b.min > a.max) return true;
  return [...new Set([...a.required, ...b.required])].some((name) =>
    valuesApart(meaning, meaning.property(a, name), meaning.property(b, name), depth),
  );
}

function valuesApart(meaning: Meaning, a: Conjunction, b: Conjunction, depth: number): boolean {
  const others = meaning.of(b);
  return meaning.of(a).every((x) => others.every((y) => disjoint(meaning, x, y, depth + 1)));
}
