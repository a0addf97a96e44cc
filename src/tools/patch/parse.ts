import { PatchError } from "./error.ts";

/** A run of lines that go, and what comes in their place. */
export interface Chunk {
  /** Line of the hunk's own old text, counted from 0. */
  readonly at: number;
  readonly removed: readonly string[];
  readonly added: readonly string[];
}

export interface Hunk {
  /** What follows `@@`: a line of the file after which to search; empty if there was nothing. */
  readonly header: string;
  /** Context and removed lines: what must be found in the file. */
  readonly old: readonly string[];
  readonly chunks: readonly Chunk[];
  /** `*** End of File` followed: the old lines should be the file's last ones. */
  readonly endOfFile: boolean;
}

export type FileOperation =
  | { readonly type: "add"; readonly path: string; readonly content: string }
  | { readonly type: "delete"; readonly path: string }
  | {
      readonly type: "update";
      readonly path: string;
      readonly moveTo: string | null;
      readonly hunks: readonly Hunk[];
    };

/** What a patch wants, in its own order. */
export type Patch = readonly FileOperation[];

const ADD = "*** Add File: ";
const DELETE = "*** Delete File: ";
const UPDATE = "*** Update File: ";
const MOVE = "*** Move to: ";
const END = "*** End Patch";
const END_OF_FILE = "*** End of File";
const SECTIONS = [END, UPDATE.trimEnd(), DELETE.trimEnd(), ADD.trimEnd()];

/** Longer patches are refused: nobody writes them by hand. */
export const MAX_PATCH_CHARACTERS: number = 4 * 2 ** 20;

/**
 * Reads a patch in the language of gpt-oss's `apply_patch` (`gpt_oss/tools/apply_patch.py`), as leniently as that does.
 *
 * @throws PatchError in the reference's words
 */
export function parsePatch(text: string): Patch {
  if (text.length > MAX_PATCH_CHARACTERS) throw new PatchError("The patch is too long");
  const lines = splitLines(text.trim());
  if (lines.length < 2 || !lines[0]!.startsWith("*** Begin Patch") || lines.at(-1) !== END)
    throw new PatchError("Invalid patch text - missing sentinels");

  const operations: FileOperation[] = [];
  const paths = new Set<string>();
  let at = 1;
  const named = (prefix: string, what: string): string | null => {
    if (at >= lines.length) throw new PatchError("Unexpected end of input while parsing patch");
    if (!lines[at]!.startsWith(prefix) || lines[at]!.length === prefix.length) return null;
    const path = lines[at++]!.slice(prefix.length);
    if (paths.has(path)) throw new PatchError(`Duplicate ${what} for file: ${path}`);
    paths.add(path);
    return path;
  };
  const done = (ends: readonly string[]): boolean =>
    at >= lines.length || ends.some((end) => lines[at]!.startsWith(end));

  while (!done([END])) {
    let path = named(UPDATE, "update");
    if (path !== null) {
      const moveTo = lines[at]?.startsWith(MOVE) ? lines[at++]!.slice(MOVE.length) || null : null;
      const hunks: Hunk[] = [];
      while (!done([...SECTIONS, END_OF_FILE])) {
        const first = lines[at]!;
        const header = first.startsWith("@@ ") ? first.slice(3) : "";
        if (first === "@@" || header !== "") at++;
        else if (first === "@@ ") at++;
        else if (hunks.length > 0) throw new PatchError(`Invalid line in update section:\n${first}`);
        const [hunk, next] = readHunk(lines, at, header);
        hunks.push(hunk);
        at = next;
      }
      operations.push({ type: "update", path, moveTo, hunks });
      continue;
    }
    path = named(DELETE, "delete");
    if (path !== null) {
      operations.push({ type: "delete", path });
      continue;
    }
    path = named(ADD, "add");
    if (path === null) throw new PatchError(`Unknown line while parsing: ${lines[at]}`);
    const content: string[] = [];
    while (!done(SECTIONS)) {
      const line = lines[at++]!;
      if (!line.startsWith("+")) throw new PatchError(`Invalid Add File line (missing '+'): ${line}`);
      content.push(line.slice(1));
    }
    operations.push({ type: "add", path, content: content.join("\n") });
  }
  if (at >= lines.length) throw new PatchError("Unexpected end of input while parsing patch");
  return operations;
}

function readHunk(lines: readonly string[], start: number, header: string): [Hunk, number] {
  const old: string[] = [];
  const chunks: Chunk[] = [];
  let removed: string[] = [];
  let added: string[] = [];
  let at = start;
  let keeping = true;
  const close = (): void => {
    if (removed.length > 0 || added.length > 0)
      chunks.push({ at: old.length - removed.length, removed, added });
    removed = [];
    added = [];
  };
  for (; at < lines.length; at++) {
    const line = lines[at]!;
    if (line.startsWith("@@") || [...SECTIONS, END_OF_FILE].some((end) => line.startsWith(end))) break;
    if (line === "***") break;
    // an empty line is an empty line of context whose space got lost
    const mark = line === "" ? " " : line[0]!;
    if (line.startsWith("***") || !" +-".includes(mark)) throw new PatchError(`Invalid Line: ${line}`);
    const text = line.slice(1);
    if (mark === " " && !keeping) close();
    keeping = mark === " ";
    if (mark === "+") added.push(text);
    else old.push(text);
    if (mark === "-") removed.push(text);
  }
  close();
  const endOfFile = lines[at] === END_OF_FILE;
  if (endOfFile) at++;
  else if (at === start) throw new PatchError("Nothing in this section");
  return [{ header, old, chunks, endOfFile }, at];
}

/** Lines as Python's `splitlines` has them, but broken at line ends only, not at form feeds or U+2028. */
function splitLines(text: string): string[] {
  const lines = text.split(/\r\n|\n|\r/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
