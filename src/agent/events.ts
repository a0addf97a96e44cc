import type { FinishReason } from "../generation/generate.ts";
import type { Message } from "../harmony/index.ts";
import type { ToolCall, ToolResult } from "../tools/tool.ts";

/** What happens while an agent works, in order. */
export type AgentEvent =
  /** The chain of thought, piece by piece. */
  | { readonly type: "reasoning"; readonly delta: string }
  /** Text for the user: the answer on `final`, remarks between calls on `commentary`. */
  | { readonly type: "text"; readonly channel: "final" | "commentary"; readonly delta: string }
  /** A call as it is written. */
  | { readonly type: "tool-call-delta"; readonly recipient: string; readonly delta: string }
  /** A call that is complete and about to run. */
  | { readonly type: "tool-call"; readonly call: ToolCall }
  | {
      readonly type: "tool-result";
      readonly call: ToolCall;
      readonly result: ToolResult;
      readonly seconds: number;
    }
  /** The model's output wasn't Harmony, and was mended. */
  | { readonly type: "repair"; readonly what: string }
  /** The conversation was too long for the context: so many of its oldest messages are no longer shown to the model. */
  | { readonly type: "dropped"; readonly messages: number }
  /** The end of the turn. */
  | Final;

export interface Final {
  readonly type: "final";
  /** The answer; empty if the turn ended without one. */
  readonly text: string;
  /** `stop`: answered. `length`: maxTokens or the context was full. `steps`: the limit of calls was reached. */
  readonly finishReason: FinishReason | "steps";
  /** What this turn added to the conversation, the user's message not included. */
  readonly messages: readonly Message[];
  readonly usage: Usage;
}

export interface Usage {
  /** Tokens of the prompts, one prompt a step. */
  readonly promptTokens: number;
  /** Of these, the tokens that were in the cache already. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** Seconds until the first token of each step. */
  readonly prefillSeconds: number;
  /** Seconds for the tokens after the first of each step. */
  readonly decodeSeconds: number;
}
