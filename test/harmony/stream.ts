import {
  createParser,
  type HarmonyEvent,
  type Message,
  type ParserOptions,
} from "../../src/harmony/index.ts";
import type { Tokenizer } from "../../src/tokenizer/index.ts";
import { o200kHarmony } from "../tokenizer/o200k.ts";

export const tokenizer: Tokenizer = o200kHarmony();

/** The control tokens that frame messages. */
export const CONTROL: readonly string[] = [
  "<|start|>",
  "<|channel|>",
  "<|message|>",
  "<|constrain|>",
  "<|end|>",
  "<|call|>",
  "<|return|>",
  "<|endoftext|>",
];

/** Ids of a text in which control tokens are written by name. */
export function ids(text: string): number[] {
  const parts = text.split(/(<\|\w+\|>)/);
  return parts.flatMap((part, i) => (i % 2 ? [tokenizer.specialId(part)] : tokenizer.encode(part)));
}

/** All events of a stream that ends. */
export function events(stream: readonly number[], options: ParserOptions = {}): HarmonyEvent[] {
  const parser = createParser(tokenizer, options);
  return [...stream.flatMap((id) => parser.push(id)), ...parser.end()];
}

export function messagesOf(all: readonly HarmonyEvent[]): Message[] {
  return all.flatMap((event) => (event.type === "end" ? [event.message] : []));
}

export function repairsOf(all: readonly HarmonyEvent[]): string[] {
  return all.flatMap((event) => (event.type === "repair" ? [event.what] : []));
}
