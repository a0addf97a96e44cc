import { PatchError } from "./error.ts";
import type { Hunk, Patch } from "./parse.ts";

/** What a patch comes to, given the files as they are. */
export type FileChange =
  | { readonly type: "add"; readonly path: string; readonly content: string }
  | { readonly type: "delete"; readonly path: string }
  | {
      readonly type: "update";
      readonly path: string;
      readonly moveTo: string | null;
      readonly content: string;
      readonly added: number;
      readonly removed: number;
    };

/** Comparisons of lines that one patch may cost: a hostile one could ask for 10¹² of them. */
const MAX_COMPARISONS = 5e7;

/**
 * Applies a patch to texts, without any file system. Every path of an update or deletion must be a key of `files`, none of
 * an addition may be; nor may two operations write to one path. Line ends stay: new lines get the kind that prevails in their file.
 *
 * @param files the present texts by path
 * @throws PatchError, and then nothing has been changed
 */
export function applyPatch(patch: Patch, files: ReadonlyMap<string, string>): FileChange[] {
  const written = new Set<string>();
  const work = { comparisons: 0 };
  return patch.map((operation): FileChange => {
    const { type, path } = operation;
    const target = type === "update" && operation.moveTo !== null ? operation.moveTo : path;
    if (written.has(target)) throw new PatchError(`Two operations write to one file: ${target}`);
    written.add(target);
    const text = files.get(path);
    if (type === "add") {
      if (text !== undefined) throw new PatchError(`Add File Error - file already exists: ${path}`);
      return { type, path, content: operation.content };
    }
    if (text === undefined)
      throw new PatchError(`${type === "update" ? "Update" : "Delete"} File Error - missing file: ${path}`);
    if (type === "delete") return { type, path };
    if (target !== path && files.has(target))
      throw new PatchError(`Move File Error - file already exists: ${target}`);
    return {
      type,
      path,
      moveTo: target === path ? null : target,
      ...updated(text, operation.hunks, path, work),
    };
  });
}

interface Work {
  comparisons: number;
}

function updated(
  text: string,
  hunks: readonly Hunk[],
  path: string,
  work: Work,
): { content: string; added: number; removed: number } {
  const original = text.split("\n");
  const lines = original.map((line, i) =>
    i < original.length - 1 && line.endsWith("\r") ? line.slice(0, -1) : line,
  );
  const crlf = lines.filter((line, i) => line !== original[i]).length;
  const newEnd = 2 * crlf > original.length - 1 ? "\r\n" : "\n";

  // pairs of a line and its end, which the last line lacks
  const result: [line: string, end: string | undefined][] = [];
  const keep = (from: number, to: number): void => {
    for (let i = from; i < to; i++)
      result.push([lines[i]!, i === lines.length - 1 ? undefined : lines[i] === original[i] ? "\n" : "\r\n"]);
  };
  let from = 0;
  let copied = 0;
  let [added, removed] = [0, 0];
  for (const hunk of hunks) {
    from = afterHeader(lines, hunk.header, from, work);
    const found = findContext(lines, hunk, from, work);
    if (found < 0) {
      const where = `Invalid ${hunk.endOfFile ? "EOF " : ""}context at ${from}`;
      throw new PatchError(`${where}:\n${hunk.old.join("\n")}`);
    }
    for (const chunk of hunk.chunks) {
      const at = found + chunk.at;
      if (at > lines.length) throw new PatchError(`${path}: chunk.orig_index ${at} exceeds file length`);
      if (at < copied) throw new PatchError(`${path}: overlapping chunks at ${copied} > ${at}`);
      keep(copied, at);
      for (const line of chunk.added) result.push([line, newEnd]);
      copied = at + chunk.removed.length;
      added += chunk.added.length;
      removed += chunk.removed.length;
    }
    from = found + hunk.old.length;
  }
  keep(copied, lines.length);
  const content = result.map(([line, end], i) => (i === result.length - 1 ? line : line + (end ?? newEnd)));
  return { content: content.join(""), added, removed };
}

/** The line after the one that a hunk's header quotes; `from`, if there is none, or one has been passed already. */
function afterHeader(lines: readonly string[], header: string, from: number, work: Work): number {
  const stripped = strip(header);
  if (stripped === "") return from;
  spend(work, 2 * lines.length);
  const passed = lines.slice(0, from);
  const exact = passed.includes(header) ? -1 : lines.indexOf(header, from);
  if (exact >= 0) return exact + 1;
  if (passed.some((line) => strip(line) === stripped)) return from;
  const loose = lines.findIndex((line, i) => i >= from && strip(line) === stripped);
  return loose >= 0 ? loose + 1 : from;
}

/** Where the old lines of a hunk are: as they stand, else but for spaces at their ends, else but for all around them. */
function findContext(lines: readonly string[], { old, endOfFile }: Hunk, from: number, work: Work): number {
  const starts = endOfFile ? [Math.max(lines.length - old.length, 0), from] : [from];
  for (const start of starts) {
    if (old.length === 0) return endOfFile ? lines.length : start;
    for (const form of [(line: string) => line, stripEnd, strip]) {
      const wanted = old.map(form);
      const having = lines.map((line, i) => (i < start ? line : form(line)));
      spend(work, lines.length + old.length);
      for (let i = start; i + wanted.length <= having.length; i++) {
        let same = 0;
        while (same < wanted.length && having[i + same] === wanted[same]) same++;
        spend(work, same + 1);
        if (same === wanted.length) return i;
      }
    }
  }
  return -1;
}

function spend(work: Work, comparisons: number): void {
  work.comparisons += comparisons;
  if (work.comparisons > MAX_COMPARISONS)
    throw new PatchError("The patch takes too long to apply: its context is too long and repeats itself");
}

/** What Python calls whitespace, which isn't quite what JavaScript does. */
const SPACES = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const SPACE = new RegExp(SPACES);

function stripEnd(line: string): string {
  let end = line.length;
  while (end > 0 && SPACE.test(line[end - 1]!)) end--;
  return line.slice(0, end);
}

function strip(line: string): string {
  let start = 0;
  while (start < line.length && SPACE.test(line[start]!)) start++;
  return stripEnd(line.slice(start));
}
