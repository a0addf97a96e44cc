import type { ToolNamespace } from "../harmony/index.ts";

/**
 * Something that the model can call: the one interface between the agent and Python, the browser, patches, a developer's
 * functions and MCP servers. A tool holds the state of one conversation (Python's variables, the browser's pages): make
 * one for each.
 */
export interface Tool {
  /** What the model is told. Tools whose namespaces share a name, as all `functions` do, are told of together. */
  readonly namespace: ToolNamespace;
  /** Where it is told: `system` for what gpt-oss was trained with (`python`, `browser`), `developer` for all else. */
  readonly placement: "system" | "developer";
  /** What else the model has to know, if anything; it follows the developer's own instructions. */
  readonly instructions?: string;
  /**
   * Answers a call. What the model did wrong is an answer too, for it to read and do better: `isError` is set and nothing
   * thrown. Rejects only with the reason of an aborted signal.
   */
  call(call: ToolCall, context: ToolContext): Promise<ToolResult>;
  /** Lets go of workers, connections and memory. */
  close?(): void | Promise<void>;
}

export interface ToolCall {
  /** As the model addressed it: `python`, `browser.search`, `functions.get_weather`. */
  readonly recipient: string;
  /** The function's name without the namespace; empty where the namespace itself is called. */
  readonly function: string;
  /** What the model wrote, unchecked: code, or arguments that should be JSON. */
  readonly content: string;
}

export interface ToolContext {
  /** Aborted when the call has taken too long or nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

export interface ToolResult {
  /** What the model reads. */
  readonly text: string;
  /** The call failed, and the text says why. */
  readonly isError?: boolean;
  /** For people: plots, which the model can't see. */
  readonly images?: readonly ToolImage[];
}

export interface ToolImage {
  /** Such as `image/png`. */
  readonly mediaType: string;
  readonly data: Uint8Array;
}
