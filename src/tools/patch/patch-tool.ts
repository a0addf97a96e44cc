import type { Tool, ToolResult } from "../tool.ts";
import { applyPatch, type FileChange } from "./apply.ts";
import { PatchError } from "./error.ts";
import { parsePatch } from "./parse.ts";
import { foldedPath, partsOf } from "./path.ts";

export interface ApplyPatchOptions {
  /** The folder that patches may change; nothing outside it is read or written. */
  readonly root: string;
  /** Says what a patch would do, and does nothing. */
  readonly dryRun?: boolean;
}

/**
 * `functions.apply_patch`, as gpt-oss's own `chat.py` offers it: patches text files below a folder. A patch is applied
 * whole or not at all. Needs Node.js, Deno or Bun.
 */
export function applyPatchTool(options: ApplyPatchOptions): Tool {
  let queue: Promise<unknown> = Promise.resolve();
  return {
    namespace: {
      name: "functions",
      tools: [
        {
          name: "apply_patch",
          description: "Patch a file",
          parameters: {
            type: "string",
            description: "Formatted patch code",
            default: "*** Begin Patch\n*** End Patch\n",
          },
        },
      ],
    },
    placement: "developer",
    async call({ content }, { signal }) {
      const turn = queue.then(async () => {
        signal.throwIfAborted();
        return await run(content, options, signal);
      });
      queue = turn.catch(() => {});
      return await turn;
    },
  };
}

async function run(content: string, options: ApplyPatchOptions, signal: AbortSignal): Promise<ToolResult> {
  try {
    const patch = parsePatch(patchOf(content));
    const paths = new Map<string, string>();
    for (const operation of patch) {
      const targets = [operation.path, operation.type === "update" ? operation.moveTo : null];
      for (const path of new Set(targets.filter((path) => path !== null))) {
        const folded = foldedPath(partsOf(path));
        if (paths.has(folded)) throw new PatchError(`One file named twice: ${path}`);
        paths.set(folded, path);
      }
    }
    const { PatchFolder } = await import("./files-node.ts");
    const folder = await PatchFolder.open(options.root);
    const files = new Map<string, string>();
    for (const path of paths.values()) {
      const text = await folder.read(path);
      if (text !== undefined) files.set(path, text);
    }
    const changes = applyPatch(patch, files);
    if (options.dryRun) return { text: summary(changes) };
    signal.throwIfAborted();
    await folder.write(changes);
    return { text: "Done!" };
  } catch (error) {
    signal.throwIfAborted();
    return { text: `Error applying patch: ${reason(error)}`, isError: true };
  }
}

/** The patch itself, or as JSON: a string, or an object whose last value it is, under whatever name. */
function patchOf(content: string): string {
  if (!/^\s*["{]/.test(content)) return content;
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (error) {
    throw new PatchError(`Error parsing JSON: ${(error as Error).message}`);
  }
  const last = typeof value === "object" && value !== null ? Object.values(value).at(-1) : value;
  if (typeof last !== "string") throw new PatchError("Error parsing JSON: no text in it");
  return last;
}

function summary(changes: readonly FileChange[]): string {
  if (changes.length === 0) return "Nothing would change.";
  const lines = changes.map((change) => {
    if (change.type === "add") return `A ${change.path} (+${change.content.split("\n").length})`;
    if (change.type === "delete") return `D ${change.path}`;
    const to = change.moveTo === null ? "" : ` → ${change.moveTo}`;
    return `M ${change.path}${to} (+${change.added} −${change.removed})`;
  });
  return `Would change:\n${lines.join("\n")}`;
}

/** Without the root's own path, which is none of the model's business. */
function reason(error: unknown): string {
  if (error instanceof PatchError) return error.message;
  const code = (error as { code?: unknown }).code;
  return typeof code === "string" ? `the files can't be changed (${code})` : "an unexpected failure";
}
