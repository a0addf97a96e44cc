import type { Turn } from "./turn.ts";

/** What outlives a reload, but not the tab. */
export interface Kept {
  readonly turns: Turn[];
  readonly effort: string;
  readonly tools: readonly string[];
}

const CHAT = "gpt-oss chat";
const KEY = "gpt-oss API key";

/** What was kept, or undefined if there is nothing that can be read. */
export function restore(storage: Storage): Kept | undefined {
  try {
    const kept = JSON.parse(storage.getItem(CHAT) ?? "null") as Kept | null;
    if (!kept || !Array.isArray(kept.turns) || !Array.isArray(kept.tools)) return undefined;
    if (!kept.turns.every(({ question, steps }) => typeof question === "string" && Array.isArray(steps)))
      return undefined;
    return kept;
  } catch {
    return undefined;
  }
}

/** A conversation that is too long for the storage isn't kept. */
export function keep(storage: Storage, kept: Kept): void {
  try {
    storage.setItem(CHAT, JSON.stringify(kept));
  } catch {
    storage.removeItem(CHAT);
  }
}

export function restoreKey(storage: Storage): string | undefined {
  return storage.getItem(KEY) ?? undefined;
}

export function keepKey(storage: Storage, key: string): void {
  storage.setItem(KEY, key);
}
