import type { StreamDecoder, Tokenizer } from "../tokenizer/index.ts";
import { HarmonyError } from "./errors.ts";
import { type Header, readHeader } from "./header.ts";
import type { Message, Role } from "./messages.ts";

/** What closed a message; "none" if the stream ended or the next message began without it. */
export type Terminator = "<|end|>" | "<|call|>" | "<|return|>" | "<|endoftext|>" | "none";

/** What the parser learns from a token. */
export type HarmonyEvent =
  /** A header is complete; `raw` is its text as it came, control tokens by name. */
  | { readonly type: "header"; readonly header: Header; readonly raw: string }
  /** More content, always whole characters. */
  | { readonly type: "text"; readonly delta: string }
  | { readonly type: "end"; readonly message: Message; readonly terminator: Terminator }
  /** The stream wasn't Harmony at this token, counted from 0. What went before and comes after is still in events. */
  | { readonly type: "repair"; readonly offset: number; readonly what: string };

export interface ParserOptions {
  /** Throw HarmonyError instead of repairing. False by default. */
  readonly strict?: boolean;
  /** For a completion: the role whose message has begun already, as renderForCompletion leaves it. */
  readonly role?: Role;
}

/** Parses token ids into messages as they come. */
export interface HarmonyParser {
  /** Takes the next token. Throws HarmonyError only if strict; from then on the parser can't be used. */
  push(id: number): HarmonyEvent[];
  /** The stream is over: closes a message that is open. Then the parser is as new, without a role. */
  end(): HarmonyEvent[];
  readonly state: "start" | "header" | "content";
  /** Header of the message whose content is coming in. */
  readonly header: Header | undefined;
  /** Content so far of that message. */
  readonly content: string;
}

/**
 * A streaming parser, lenient unless told otherwise: whatever ids come, it throws nothing, the text of each token is
 * in exactly one event (`raw` or `delta`), and no control token becomes content. Where the stream is Harmony, both
 * modes give what openai-harmony gives, but for the headers that readHeader lists.
 */
export function createParser(tokenizer: Tokenizer, options: ParserOptions = {}): HarmonyParser {
  return new Parser(tokenizer, options);
}

/** All messages of a finished stream. */
export function parseMessages(
  tokenizer: Tokenizer,
  ids: readonly number[],
  options: ParserOptions = {},
): Message[] {
  const parser = createParser(tokenizer, options);
  const events = ids.flatMap((id) => parser.push(id));
  return [...events, ...parser.end()].flatMap((event) => (event.type === "end" ? [event.message] : []));
}

const TERMINATORS: readonly Terminator[] = ["<|end|>", "<|call|>", "<|return|>", "<|endoftext|>"];
const STRUCTURE: readonly string[] = [
  "<|start|>",
  "<|channel|>",
  "<|message|>",
  "<|constrain|>",
  ...TERMINATORS,
];

/** The longest function names have some 30 tokens; what goes on for longer is content whose `<|message|>` is missing. */
const MAX_HEADER_TOKENS = 64;

class Parser implements HarmonyParser {
  state: "start" | "header" | "content" = "start";
  header: Header | undefined;
  content = "";
  readonly #tokenizer: Tokenizer;
  readonly #decoder: StreamDecoder;
  readonly #strict: boolean;
  readonly #structure: ReadonlyMap<number, string>;
  #role: Role | undefined;
  #headerIds: number[] = [];
  #offset = 0;
  #events: HarmonyEvent[] = [];

  constructor(tokenizer: Tokenizer, { strict = false, role }: ParserOptions) {
    this.#tokenizer = tokenizer;
    this.#decoder = tokenizer.stream();
    this.#strict = strict;
    this.#structure = new Map(STRUCTURE.map((name) => [tokenizer.specialId(name), name]));
    if (role !== undefined) this.#startHeader(role);
  }

  push(id: number): HarmonyEvent[] {
    const control = this.#structure.get(id);
    if (!Number.isSafeInteger(id) || id < 0) this.#repair("not a token id");
    else if (this.state === "start") this.#pushStart(id, control);
    else if (this.state === "header") this.#pushHeader(id, control);
    else this.#pushContent(id, control);
    this.#offset++;
    return this.#takeEvents();
  }

  end(): HarmonyEvent[] {
    if (this.state === "header" && (this.#strict || this.#offset > 0)) {
      this.#repair("the stream ends within a header");
      if (this.#headerIds.length > 0) this.#headerAsContent();
    }
    if (this.state === "content") this.#endMessage("none");
    this.state = "start";
    this.#role = undefined;
    return this.#takeEvents();
  }

  #pushStart(id: number, control: string | undefined): void {
    if (control === "<|start|>") {
      this.#startHeader(undefined);
      return;
    }
    if (isTerminator(control)) {
      this.#repair(`${control} where no message is open`);
      return;
    }
    this.#repair("expected <|start|>");
    this.#startHeader("assistant");
    this.#pushHeader(id, control);
  }

  #pushHeader(id: number, control: string | undefined): void {
    if (control === "<|message|>") {
      const raw = this.#tokenizer.decode(this.#headerIds);
      const { header, problems } = readHeader(raw, this.#role);
      for (const problem of problems) this.#repair(problem);
      this.#startContent(header, raw);
    } else if (isTerminator(control)) {
      this.#repair(`${control} within a header`);
      if (this.#headerIds.length === 0) {
        this.state = "start";
        return;
      }
      this.#headerAsContent();
      this.#endMessage(control);
    } else if (control === "<|start|>") {
      this.#repair("<|start|> within a header");
      if (this.#headerIds.length > 0) {
        this.#headerAsContent();
        this.#endMessage("none");
      }
      this.#startHeader(undefined);
    } else {
      this.#headerIds.push(id);
      if (!this.#strict && this.#headerIds.length >= MAX_HEADER_TOKENS) {
        this.#repair("a header without end");
        this.#headerAsContent();
      }
    }
  }

  #pushContent(id: number, control: string | undefined): void {
    if (isTerminator(control)) {
      if (control === "<|endoftext|>") this.#repair("<|endoftext|> within a message");
      this.#endMessage(control);
    } else if (control === undefined) {
      this.#text(this.#decoder.push(id));
    } else if (control === "<|start|>" || control === "<|channel|>") {
      this.#repair(`${control} within a message`);
      this.#endMessage("none");
      this.#startHeader(control === "<|start|>" ? undefined : "assistant");
      if (control === "<|channel|>") this.#headerIds.push(id);
    } else {
      this.#repair(`${control} within a message`);
      this.#text(this.#decoder.end());
    }
  }

  #startHeader(role: Role | undefined): void {
    this.state = "header";
    this.#role = role;
    this.#headerIds = [];
  }

  #startContent(header: Header, raw: string): void {
    this.state = "content";
    this.header = header;
    this.content = "";
    this.#role = undefined;
    this.#headerIds = [];
    this.#events.push({ type: "header", header, raw });
  }

  // The header has no <|message|>. What can only be header at its front is taken as such, the rest as content.
  #headerAsContent(): void {
    const ids = this.#headerIds;
    const roles = this.#role ?? "user|assistant|system|developer";
    const pattern = new RegExp(
      `^\\s*(?:(?:${roles})(?![\\w.:-]))?\\s*(?:<\\|channel\\|>[^\\s<\ufffd]+)?\\s*`,
    );
    const front = pattern.exec(this.#tokenizer.decode(ids))![0];
    const { header } = readHeader(front, this.#role);

    const channelAt = front.includes("<|channel|>")
      ? ids.indexOf(this.#tokenizer.specialId("<|channel|>"))
      : -1;
    this.#startContent(header, front);
    let text = "";
    for (const [index, id] of ids.entries()) {
      const dropped = index !== channelAt && this.#structure.has(id);
      text += dropped ? this.#decoder.end() : this.#decoder.push(id);
    }
    this.#text(text.slice(front.length));
  }

  #endMessage(terminator: Terminator): void {
    this.#text(this.#decoder.end());
    const message = { ...this.header!, content: this.content };
    this.#events.push({ type: "end", message, terminator });
    this.state = "start";
    this.header = undefined;
    this.content = "";
  }

  #text(delta: string): void {
    if (delta === "") return;
    this.content += delta;
    this.#events.push({ type: "text", delta });
  }

  #repair(what: string): void {
    if (this.#strict) throw new HarmonyError(what, { offset: this.#offset });
    this.#events.push({ type: "repair", offset: this.#offset, what });
  }

  #takeEvents(): HarmonyEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }
}

function isTerminator(control: string | undefined): control is Terminator {
  return (TERMINATORS as readonly (string | undefined)[]).includes(control);
}
