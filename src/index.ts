/** gpt-oss in TypeScript: the public API. Harmony, the tokenizer, checkpoint files and the oracle have subpaths of their own. */
export {
  Agent,
  type AgentEvent,
  type AgentOptions,
  conversationToJson,
  type Final,
  parseConversation,
  type SavedConversation,
  type Usage,
} from "./agent/index.ts";
export type { ModelConfig } from "./config.ts";
export type { EngineOptions } from "./engine/index.ts";
export type { HostTensor } from "./engine/ops.ts";
export {
  CheckpointError,
  ConfigError,
  EngineError,
  type ErrorDetails,
  GptOssError,
  TokenizerError,
  UsageError,
} from "./errors.ts";
export { type ChatToken, chat, complete, type TokenSource } from "./generation/chat.ts";
export type { FinishReason, GeneratedToken, GenerateOptions } from "./generation/generate.ts";
export { type LoadOptions, load, Model } from "./generation/model.ts";
export { PrefixCache, type PrefixCacheOptions } from "./generation/prefix-cache.ts";
export { type SamplingOptions, sample, type TokenProbability } from "./generation/sampler.ts";
export { Session } from "./generation/session.ts";
export type { StructuredOptions } from "./generation/structured.ts";
export type { Hook, Hooks } from "./model/hooks.ts";
export type { DialectName } from "./numerics/dialects.ts";
