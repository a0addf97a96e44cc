import OpenAI from "openai";
import { Session } from "../../src/generation/session.ts";
import { createServer, type GptOssServer, type ServerOptions } from "../../src/server/index.ts";
import { scriptedModel } from "./scripted-model.ts";

/** OpenAI's own client, talking to a server without a network in between. */
export function clientOf(server: GptOssServer): OpenAI {
  const fetch = (url: string | URL | Request, init?: RequestInit): Promise<Response> =>
    server.fetch(new Request(url, init));
  return new OpenAI({ apiKey: "none", baseURL: "http://localhost/v1", fetch, maxRetries: 0 });
}

export interface ScriptedServer {
  readonly server: GptOssServer;
  readonly client: OpenAI;
  /** What the model has been shown ahead of each completion. */
  readonly prompts: string[];
}

/** A server whose model writes what it is told to. */
export function scriptedServer(
  completions: readonly string[],
  options: ServerOptions = {},
  maxContextLength?: number,
): ScriptedServer {
  const { model, prompts } = scriptedModel(completions, maxContextLength);
  const source = {
    requireTokenizer: () => model.requireTokenizer(),
    async *generate(...args: Parameters<Session["generate"]>) {
      using session = new Session(model);
      yield* session.generate(...args);
    },
  };
  const server = createServer(model, { id: "scripted", source, today: () => "2026-01-02", ...options });
  return { server, client: clientOf(server), prompts };
}

export type Event = OpenAI.Responses.ResponseStreamEvent & Record<string, unknown>;

export async function collect(stream: AsyncIterable<OpenAI.Responses.ResponseStreamEvent>): Promise<Event[]> {
  const events: Event[] = [];
  for await (const event of stream) events.push(event as Event);
  return events;
}

/** Types in order, deltas that follow each other as one. */
export function outline(events: readonly Event[]): string[] {
  const types = events.map(({ type }) => type.replace(/^response\./, ""));
  return types.filter((type, i) => !(type.endsWith(".delta") && types[i - 1] === type));
}
