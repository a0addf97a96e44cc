import { UsageError } from "../errors.ts";
import { compile, type Grammar, idsWithoutText, type Matcher, regexGrammar } from "../grammar/index.ts";
import { createParser, type HarmonyParser } from "../harmony/index.ts";
import type { Tokenizer } from "../tokenizer/index.ts";
import type { TokenSource } from "./chat.ts";
import type { GeneratedToken, GenerateOptions } from "./generate.ts";

export interface StructuredOptions {
  /**
   * What the content of the final message must be. The model still reasons as it likes; then one final message must
   * come, and ends the answer.
   */
  readonly responseFormat?: Grammar;
  /**
   * What the arguments of calls must be, by recipient, such as `functions.get_weather`. Along with `responseFormat`, no
   * others can be called.
   */
  readonly callFormats?: ReadonlyMap<string, Grammar>;
  /** Who can be called; nobody, if empty. Left out, anybody, or along with `responseFormat` those of `callFormats`. */
  readonly recipients?: readonly string[];
  /** The answer must be a call of one of the recipients. */
  readonly mustCall?: boolean;
}

/** Generates what follows `<|start|>assistant`, held to the formats, if there are any. */
export async function* generateStructured(
  source: TokenSource,
  prompt: readonly number[],
  { responseFormat, callFormats, recipients, mustCall, ...options }: GenerateOptions & StructuredOptions,
): AsyncGenerator<GeneratedToken, void, void> {
  if (!responseFormat && !callFormats && !recipients && !mustCall) {
    yield* source.generate(prompt, options);
    return;
  }
  const stream = new StructuredStream(source.requireTokenizer(), {
    ...(responseFormat && { responseFormat }),
    ...(callFormats && { callFormats }),
    ...(recipients && { recipients }),
    ...(mustCall && { mustCall }),
  });
  const adjustLogits: GenerateOptions["adjustLogits"] = (logits, position) => {
    options.adjustLogits?.(logits, position);
    stream.adjust(logits);
  };
  for await (const token of source.generate(prompt, { ...options, adjustLogits })) {
    stream.push(token.id);
    yield token;
  }
}

type Logits = Float32Array | Float64Array;

/** Where in a Harmony stream the model is, as far as that limits which token may come. */
interface Place {
  /** What the text must be; undefined leaves it free. */
  readonly text: Matcher | undefined;
  /** Control token that may follow the text, once it is whole. */
  readonly exit: string;
}

const CONSTRAIN = "<|constrain|>";
/** Tokens that end a message or the stream: where one of them is to come, the model's wish for any counts for it. */
const TERMINATORS: readonly string[] = ["<|end|>", "<|return|>", "<|call|>", "<|endoftext|>"];

/**
 * Holds a stream that begins after `<|start|>assistant` to formats: `adjust` forbids tokens ahead of sampling, `push` is
 * told what was sampled. Formats apply within messages only: headers stay Harmony, reasoning stays free.
 */
export class StructuredStream {
  readonly #tokenizer: Tokenizer;
  readonly #responseFormat: Grammar | undefined;
  readonly #callFormats: ReadonlyMap<string, Grammar>;
  readonly #recipients: readonly string[];
  readonly #mustCall: boolean;
  /** Whether headers are held to the recipients, and what is said to an end of its kind. */
  readonly #holdsHeaders: boolean;
  readonly #parser: HarmonyParser;
  readonly #terminators: readonly number[];
  /** Header texts that have been compiled. */
  readonly #texts: Map<string, Matcher> = new Map();
  #controls: readonly number[] | undefined;
  /** Undefined where anything goes. */
  #place: Place | undefined;
  /** Text of the header since its last control token. */
  #header = "";
  /** Whether there has been reasoning: where a call must come, it comes then. */
  #hasReasoned = false;

  constructor(
    tokenizer: Tokenizer,
    { responseFormat, callFormats = new Map(), recipients, mustCall = false }: StructuredOptions,
  ) {
    this.#tokenizer = tokenizer;
    this.#responseFormat = responseFormat;
    this.#callFormats = callFormats;
    this.#recipients = recipients ?? [...callFormats.keys()];
    this.#mustCall = mustCall;
    this.#holdsHeaders = responseFormat !== undefined || recipients !== undefined || mustCall;
    if (mustCall && this.#recipients.length === 0) throw new UsageError("a call of nobody is asked for");
    this.#parser = createParser(tokenizer, { role: "assistant" });
    const terminators = TERMINATORS.filter((name) => tokenizer.hasSpecial(name));
    this.#terminators = terminators.map((name) => tokenizer.specialId(name));
    if (this.#holdsHeaders) this.#place = this.#author("");
  }

  /** Sets the logits of what may not come to −∞. */
  adjust(logits: Logits): void {
    if (!this.#place) return;
    const { text, exit } = this.#place;
    const exits =
      !text || text.isComplete ? [this.#tokenizer.specialId(this.#wantsType() ? CONSTRAIN : exit)] : [];
    for (const id of exits) {
      if (!this.#terminators.includes(id)) continue;
      logits[id] = Math.max(...this.#terminators.map((other) => logits[other] ?? Number.NEGATIVE_INFINITY));
    }
    if (text) {
      text.apply(logits, exits);
      return;
    }
    this.#controls ??= idsWithoutText(this.#tokenizer, logits.length);
    for (const id of this.#controls) if (!exits.includes(id)) logits[id] = Number.NEGATIVE_INFINITY;
  }

  /** Whether the header has come to the space of ` <|constrain|>json`. */
  #wantsType(): boolean {
    return this.#parser.state === "header" && this.#header.endsWith(" ");
  }

  /** Takes the token that was sampled. */
  push(id: number): void {
    this.#parser.push(id);
    this.#place?.text?.accept(id);
    const control = this.#tokenizer.isSpecial(id) ? this.#tokenizer.decode([id]) : undefined;
    if (control === "<|message|>") this.#place = this.#content();
    else if (control !== undefined && this.#holdsHeaders) this.#place = this.#after(control);
    else if (control !== undefined) this.#place = undefined;
    const isHeader = control === undefined && this.#parser.state === "header";
    this.#header = isHeader ? this.#header + this.#tokenizer.decode([id]) : "";
  }

  /** Where a control token other than `<|message|>` leads, if there must be a final message. */
  #after(control: string): Place | undefined {
    if (control === "<|start|>") return this.#author("assistant");
    if (control === "<|channel|>") return this.#channel(/ to=/.test(this.#header));
    if (control === CONSTRAIN) return { text: this.#matcher("json"), exit: "<|message|>" };
    if (control === "<|end|>") {
      this.#hasReasoned = true;
      return { text: this.#matcher(""), exit: "<|start|>" };
    }
    return undefined; // <|return|> and <|call|> are the end
  }

  #author(role: string): Place {
    const to = this.#to();
    return { text: this.#matcher(to === "" ? role : `${role}(?:${to})?`), exit: "<|channel|>" };
  }

  /** @param isCall whether the header has named a recipient already */
  #channel(isCall: boolean): Place {
    const formats = [this.#responseFormat, ...this.#callFormats.values()].filter((format) => format);
    const isJson =
      (formats.length > 0 || this.#recipients.length > 0) &&
      formats.every((format) => format?.kind === "json-schema");
    const type = isJson && this.#tokenizer.hasSpecial(CONSTRAIN) ? " ?" : "";
    const afterCall = `(?: code|${type})`; // ` code` is what gpt-oss writes for Python and the browser
    if (isCall) return { text: this.#matcher(`(?:analysis|commentary)${afterCall}`), exit: "<|message|>" };
    const free = this.#mustCall ? ["analysis"] : ["analysis", "final", "commentary"];
    const sources = free.map((channel) => channel + type);
    if (this.#mustCall && this.#hasReasoned) sources.length = 0;
    const to = this.#to();
    const callChannel = this.#mustCall ? "commentary" : "(?:analysis|commentary)";
    if (to !== "") sources.push(`${callChannel}${to}${afterCall}`);
    return { text: this.#matcher(`(?:${sources.join("|")})`), exit: "<|message|>" };
  }

  #content(): Place | undefined {
    const { channel, recipient } = this.#parser.header ?? {};
    const format = recipient === undefined ? undefined : this.#callFormats.get(recipient);
    if (format) return { text: compile(format, this.#tokenizer).start(), exit: "<|call|>" };
    if (!this.#holdsHeaders) return undefined;
    if (recipient !== undefined) return { text: undefined, exit: "<|call|>" };
    if (channel !== "final") return { text: undefined, exit: "<|end|>" };
    const answer = this.#responseFormat && compile(this.#responseFormat, this.#tokenizer).start();
    return { text: answer, exit: "<|return|>" };
  }

  #matcher(source: string): Matcher {
    let matcher = this.#texts.get(source);
    if (!matcher) {
      matcher = compile(regexGrammar(source), this.#tokenizer).start();
      this.#texts.set(source, matcher);
    }
    return matcher.clone();
  }

  /** How a header names a recipient, as a regular expression; empty if there are none. */
  #to(): string {
    const names = this.#recipients.map((name) => name.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
    return names.length === 0 ? "" : ` to=(?:${names.join("|")})`;
  }
}
