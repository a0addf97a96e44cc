import { serve } from "../../../src/server/index.ts";
import { type ScriptedServer, scriptedServer } from "../../support/api-client.ts";

export interface Listening extends ScriptedServer, AsyncDisposable {
  readonly url: string;
}

/** A server whose model writes what it is told to, and that really listens. */
export async function listenScripted(...args: Parameters<typeof scriptedServer>): Promise<Listening> {
  const scripted = scriptedServer(...args);
  const { url, stop } = await serve(scripted.server, { port: 0 });
  return {
    ...scripted,
    url: `${url}/v1`,
    async [Symbol.asyncDispose]() {
      await scripted.server.close(0);
      await stop();
    },
  };
}

export const thought = (text: string): string =>
  `<|channel|>analysis<|message|>${text}<|end|><|start|>assistant`;
export const answer = (text: string): string => `<|channel|>final<|message|>${text}<|return|>`;
export const call = (name: string, args: object): string =>
  `<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${JSON.stringify(args)}<|call|>`;
/** How a call and its reply stand in the prompt that follows. */
export const shown = (name: string, args: object, reply: string): string =>
  `<|start|>assistant to=functions.${name}<|channel|>commentary <|constrain|>json<|message|>${JSON.stringify(args)}<|call|>` +
  `<|start|>functions.${name} to=assistant<|channel|>commentary<|message|>${reply}<|end|>`;
