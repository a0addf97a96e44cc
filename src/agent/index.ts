export { Agent, type AgentOptions } from "./agent.ts";
export type { AgentEvent, Final, Usage } from "./events.ts";
export { conversationToJson, parseConversation, type SavedConversation } from "./saved.ts";
