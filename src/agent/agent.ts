import { GptOssError, UsageError } from "../errors.ts";
import { type ChatToken, complete } from "../generation/chat.ts";
import type { FinishReason, GenerateOptions } from "../generation/generate.ts";
import type { Model } from "../generation/model.ts";
import { Session } from "../generation/session.ts";
import type { StructuredOptions } from "../generation/structured.ts";
import {
  type Message,
  messageText,
  type ReasoningEffort,
  type ResponseFormat,
  renderMessage,
} from "../harmony/index.ts";
import { finish } from "../tokenizer/steps.ts";
import type { Tool } from "../tools/tool.ts";
import { cutToTokens, recipientOf, resolve, runCall } from "./calls.ts";
import type { AgentEvent, Final } from "./events.ts";
import { callFormats, schemaGrammar } from "./formats.ts";
import { openingMessages, renderPrompt, renderShown } from "./prompt.ts";

export interface AgentOptions {
  /** "medium" by default. */
  readonly effort?: ReasoningEffort;
  /** What is elsewhere called the system prompt. */
  readonly instructions?: string;
  /** The date that the model is told, YYYY-MM-DD. The same day keeps the cache useful; it is never read from the clock. */
  readonly date?: string;
  readonly tools?: readonly Tool[];
  /** An earlier conversation to go on with. */
  readonly messages?: readonly Message[];
  /**
   * What the answer must be: JSON of this schema, which the model is told of and held to. Only functions can be called
   * along with it.
   */
  readonly responseFormat?: ResponseFormat;
  /**
   * Whether arguments of functions are held to their schemas, token by token, properties in the schema's order; true by
   * default. Built-in tools aren't: the model has its own habits with them.
   */
  readonly strictCalls?: boolean;
  /** How to sample. maxTokens counts per step, that is from one tool's result to the next call or the answer. */
  readonly generation?: Omit<GenerateOptions, "signal" | "checkpoints">;
  /** Calls in one turn, 50 by default. */
  readonly maxSteps?: number;
  /** Time for one call, 130 by default: a little more than Python takes for itself. */
  readonly toolSeconds?: number;
  /** Length of a tool's result that the model gets to see, 32,000 by default. */
  readonly toolCharacters?: number;
}

/**
 * A conversation with a model that may call tools: it reasons, calls, reads the results and goes on until it answers.
 *
 *     const agent = new Agent(model, { tools: [pythonTool()] });
 *     for await (const event of agent.run("What is 123456789 squared?")) …
 *
 * Within a turn the model sees its own tokens as it wrote them, reasoning included. Once it has answered, reasoning is
 * dropped from what it sees, as it was trained; `messages` still has all. When a conversation outgrows the context, its
 * oldest turns are no longer shown to the model, and an event says so.
 */
export class Agent implements AsyncDisposable {
  readonly model: Model;
  /** These may be changed between turns. */
  effort: ReasoningEffort;
  instructions: string | undefined;
  tools: readonly Tool[];
  generation: NonNullable<AgentOptions["generation"]>;
  responseFormat: ResponseFormat | undefined;
  readonly #strictCalls: boolean;
  readonly date: string | undefined;
  readonly #limits: { readonly steps: number; readonly seconds: number; readonly characters: number };
  readonly #session: Session;
  readonly #messages: Message[] = [];
  /** Messages ahead of this one are no longer shown to the model. */
  #shownFrom = 0;
  #unfinished = false;
  #isBusy = false;

  /** @throws UsageError for a limit that isn't a positive number */
  constructor(model: Model, options: AgentOptions = {}) {
    const { maxSteps = 50, toolSeconds = 130, toolCharacters = 32_000 } = options;
    for (const [name, value] of Object.entries({ maxSteps, toolSeconds, toolCharacters })) {
      if (!(value > 0))
        throw new UsageError(`${name} is out of range`, { expected: "more than 0", found: value });
    }
    this.model = model;
    this.effort = options.effort ?? "medium";
    this.instructions = options.instructions;
    this.date = options.date;
    this.tools = options.tools ?? [];
    this.generation = options.generation ?? {};
    this.responseFormat = options.responseFormat;
    this.#strictCalls = options.strictCalls ?? true;
    this.#limits = { steps: maxSteps, seconds: toolSeconds, characters: toolCharacters };
    this.clear(options.messages);
    this.#session = new Session(model);
  }

  /** The conversation so far: what users, model and tools said, without what it opens with. */
  get messages(): readonly Message[] {
    return this.#messages;
  }

  /** Whether the latest turn has been cut short, so that {@link resume} can go on with it. */
  get isUnfinished(): boolean {
    return this.#unfinished;
  }

  /**
   * Says something and works until the model has answered. What an unfinished turn has left behind is settled first: its
   * question and what there was of an answer stay, its reasoning and calls go.
   *
   * @throws UsageError if the message alone doesn't fit the context; the signal's reason if that is aborted
   */
  async *run(
    input: string | Message,
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<AgentEvent, void, void> {
    this.#refuseIfBusy();
    const question = this.#messages.findLastIndex(({ role }) => role === "user");
    if (this.#unfinished && question >= 0) {
      const left = this.#messages.splice(question + 1).filter(isAnswer);
      this.#messages.push(...left);
    }
    const length = this.#messages.push(typeof input === "string" ? { role: "user", content: input } : input);
    try {
      yield* this.#turn(options.signal);
    } catch (error) {
      if (error instanceof GptOssError && this.#messages.length === length) this.takeBack(); // it never began
      throw error;
    }
  }

  /** Goes on with a turn that was aborted, or ended for its limits. An answer that was cut is written anew. */
  async *resume(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<AgentEvent, void, void> {
    this.#refuseIfBusy();
    if (!this.#unfinished) throw new UsageError("there is no turn to go on with");
    const last = this.#messages.at(-1);
    if (last && isAnswer(last)) this.#messages.pop();
    yield* this.#turn(options.signal);
  }

  /** Takes back the latest question and all that came of it. */
  takeBack(): void {
    this.#refuseIfBusy();
    const question = this.#messages.findLastIndex(({ role }) => role === "user");
    if (question >= 0) this.#messages.splice(question);
    if (this.#shownFrom >= this.#messages.length) this.#shownFrom = 0;
    this.#unfinished = false;
  }

  /** Starts over, perhaps with another conversation; what was computed for the opening stays in the cache. */
  clear(messages: readonly Message[] = []): void {
    this.#refuseIfBusy();
    const own = messages.find(({ role }) => role === "system" || role === "developer");
    if (own) {
      throw new UsageError("the agent writes the opening of a conversation itself", {
        found: `a message of role ${own.role}`,
        hint: "Give instructions, effort and tools as options.",
      });
    }
    this.#messages.splice(0, Number.POSITIVE_INFINITY, ...messages);
    this.#shownFrom = 0;
    const last = messages.at(-1);
    this.#unfinished = last !== undefined && !isAnswer(last);
  }

  #refuseIfBusy(): void {
    if (this.#isBusy) {
      throw new UsageError("the agent is at work on a turn", {
        hint: "Await its end, or abort it, or give each conversation an agent.",
      });
    }
  }

  async *#turn(signal: AbortSignal | undefined): AsyncGenerator<AgentEvent, void, void> {
    this.#isBusy = true;
    try {
      yield* this.#work(signal);
    } finally {
      this.#isBusy = false;
    }
  }

  async *#work(signal: AbortSignal | undefined): AsyncGenerator<AgentEvent, void, void> {
    const tokenizer = this.model.requireTokenizer();
    const { maxContextLength } = this.model.config;
    const begin = this.#messages.length;
    const usage = {
      promptTokens: 0,
      cachedTokens: 0,
      completionTokens: 0,
      prefillSeconds: 0,
      decodeSeconds: 0,
    };
    const final = (finishReason: Final["finishReason"]): Final => {
      this.#unfinished = finishReason !== "stop";
      const messages = this.#messages.slice(begin);
      return { type: "final", text: answerOf(messages), finishReason, messages, usage };
    };
    const opening = openingMessages(this);
    const again = (): number[] =>
      finish(renderShown(tokenizer, opening, this.#messages.slice(this.#shownFrom)));

    this.#unfinished = true;
    const limit = promptLimit(maxContextLength);
    const prompt = finish(renderPrompt(tokenizer, opening, this.#messages, this.#shownFrom, limit));
    let ids = prompt.ids;
    if (prompt.dropped > this.#shownFrom) {
      yield { type: "dropped", messages: prompt.dropped - this.#shownFrom };
      this.#shownFrom = prompt.dropped;
    }
    const formats: StructuredOptions = {
      ...(this.responseFormat && { responseFormat: schemaGrammar(this.responseFormat.schema) }),
      ...(this.#strictCalls && { callFormats: callFormats(this.tools) }),
    };
    const pending = this.#messages.at(-1);
    if (pending && recipientOf(pending) !== undefined) {
      yield* this.#call(pending, maxContextLength - ids.length, signal);
      ids = again();
    }

    for (let step = 1; ; step++) {
      const { generated, message, finishReason, wellFormed, seconds } = yield* this.#step(ids, {
        checkpoints: [prompt.opening],
        ...formats,
        ...(signal && { signal }),
      });
      usage.promptTokens += ids.length;
      usage.cachedTokens += this.#session.reusedTokens;
      usage.completionTokens += generated.length;
      usage.prefillSeconds += seconds.prefill;
      usage.decodeSeconds += seconds.decode;
      if (finishReason === "length" || !message || recipientOf(message) === undefined) {
        yield final(finishReason);
        return;
      }
      if (step > this.#limits.steps) {
        yield final("steps");
        return;
      }

      const room = maxContextLength - ids.length - generated.length;
      const reply = yield* this.#call(message, room, signal);
      // The model reads on behind its own tokens, unless they were such that it had better see them put right.
      if (wellFormed && generated.at(-1) === tokenizer.specialId("<|call|>")) {
        const start = [tokenizer.specialId("<|start|>"), ...tokenizer.encode("assistant")];
        ids = [...ids, ...generated, ...renderMessage(tokenizer, reply), ...start];
      } else ids = again();
      if (ids.length >= maxContextLength) {
        yield final("length");
        return;
      }
    }
  }

  /** Generates from here to the next call, or to the answer's end. */
  async *#step(
    prompt: readonly number[],
    options: Pick<GenerateOptions, "checkpoints" | "signal"> & StructuredOptions,
  ): AsyncGenerator<AgentEvent, Step, void> {
    const start = performance.now();
    let first = start;
    const generated: number[] = [];
    let message: Message | undefined;
    let finishReason: FinishReason = "stop";
    let wellFormed = true;
    let open: Message | undefined; // what is being written, as far as it goes
    try {
      for await (const token of complete(this.#session, prompt, { ...this.generation, ...options })) {
        if (generated.push(token.id) === 1) first = performance.now();
        for (const what of token.repairs ?? []) {
          wellFormed = false;
          yield { type: "repair", what };
        }
        open = token.message
          ? undefined
          : token.header && { ...token.header, content: (open ? messageText(open) : "") + token.delta };
        yield* textEvents(token);
        finishReason = token.finishReason ?? "stop";
        // what the limit has cut is kept if it is an answer; reasoning and calls are written anew
        if (token.message && (finishReason !== "length" || isAnswer(token.message))) {
          message = token.message;
          if (messageText(message) !== "" || recipientOf(message) !== undefined) this.#messages.push(message);
        }
      }
    } finally {
      if (open && isAnswer(open)) this.#messages.push(open); // aborted, or nobody listens any more
    }
    const seconds = { prefill: (first - start) / 1000, decode: (performance.now() - first) / 1000 };
    return { generated, message, finishReason, wellFormed, seconds };
  }

  /** Runs a call, and adds the tool's reply to the conversation; `room` is what is left of the context, in tokens. */
  async *#call(
    message: Message,
    room: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<AgentEvent, Message, void> {
    const tokenizer = this.model.requireTokenizer();
    const { tool, call } = resolve(this.tools, message);
    yield { type: "tool-call", call };
    const start = performance.now();
    const result = await runCall(this.tools, tool, call, this.#limits, signal);
    const content = cutToTokens(result.text, Math.floor(room / 2), tokenizer);
    const reply: Message = {
      role: "tool",
      name: call.recipient,
      recipient: "assistant",
      channel: message.channel ?? "commentary",
      content,
    };
    this.#messages.push(reply);
    const seconds = (performance.now() - start) / 1000;
    yield { type: "tool-result", call, result: { ...result, text: content }, seconds };
    return reply;
  }

  /** Lets go of the cache and closes the tools; the model stays open. */
  async close(): Promise<void> {
    this.#session[Symbol.dispose]();
    await Promise.all(this.tools.map((tool) => tool.close?.()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

interface Step {
  readonly generated: readonly number[];
  /** The last message: a call or an answer. */
  readonly message: Message | undefined;
  readonly finishReason: FinishReason;
  readonly wellFormed: boolean;
  readonly seconds: { readonly prefill: number; readonly decode: number };
}

/** Tokens that a prompt may have, so that there is room for an answer. */
function promptLimit(context: number): number {
  return context - Math.min(1024, Math.floor(context / 4));
}

function* textEvents({ header, delta }: ChatToken): Generator<AgentEvent, void, void> {
  if (delta === "" || !header) return;
  const recipient = recipientOf({ ...header, content: "" });
  if (recipient !== undefined) yield { type: "tool-call-delta", recipient, delta };
  else if (header.channel === "analysis") yield { type: "reasoning", delta };
  else yield { type: "text", channel: header.channel === "commentary" ? "commentary" : "final", delta };
}

function isAnswer(message: Message): boolean {
  const { role, channel } = message;
  return (
    role === "assistant" &&
    channel !== "analysis" &&
    channel !== "commentary" &&
    recipientOf(message) === undefined
  );
}

/** What a turn answered: its final messages, or the remark that it ended with in their place. */
function answerOf(messages: readonly Message[]): string {
  const answers = messages.filter(isAnswer);
  if (answers.length > 0) return answers.map(messageText).join("\n\n");
  const last = messages.at(-1);
  const isRemark = last?.role === "assistant" && last.channel === "commentary" && !recipientOf(last);
  return isRemark ? messageText(last) : "";
}
