export { type CalledTool, resolveRecipient } from "./calls.ts";
export { developerText, hasFunctions, systemText } from "./content.ts";
export { HarmonyError } from "./errors.ts";
export type { Header } from "./header.ts";
export {
  type Content,
  type DeveloperContent,
  developerMessage,
  type Message,
  messageText,
  type ReasoningEffort,
  type Role,
  type SystemContent,
  systemMessage,
  type TextContent,
} from "./messages.ts";
export {
  createParser,
  type HarmonyEvent,
  type HarmonyParser,
  type ParserOptions,
  parseMessages,
  type Terminator,
} from "./parse.ts";
export {
  type RenderOptions,
  renderConversation,
  renderForCompletion,
  renderForTraining,
  renderMessage,
  renderText,
} from "./render.ts";
export { schemaToTypeScript } from "./schema.ts";
export { stopIds } from "./stop.ts";
export {
  BROWSER,
  functionTools,
  type JsonSchema,
  PYTHON,
  type ResponseFormat,
  type ToolDescription,
  type ToolNamespace,
} from "./tools.ts";
