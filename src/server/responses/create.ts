import type { Message } from "../../harmony/index.ts";
import type { Slot } from "../admission.ts";
import {
  admit,
  findModel,
  type RequestInfo,
  type ServedModel,
  type ServerContext,
  tokenizerOf,
} from "../context.ts";
import { type AnswerFormat, effortOf, openingOf } from "../conversation.ts";
import { type ApiError, invalid, toApiError } from "../errors.ts";
import type { ResponseStore, StoredItem, StoredResponse } from "../store/store.ts";
import { notFound, readInput } from "./input.ts";
import { Output } from "./output.ts";
import type { ResponseEvent } from "./output-items.ts";
import type { CreateResponse } from "./request.ts";
import { endedResponse, newResponse, type Outcome, shownEvent, withOutput } from "./response.ts";
import { generateOutput, type Job, promptOf } from "./run.ts";
import { checkTools, type OpenTools, openTools, withoutAbsent } from "./tools.ts";

/** A generation that is ready to begin. */
interface Prepared {
  readonly job: Job;
  readonly prompt: readonly number[];
  readonly slot: Slot;
}

/**
 * The making of one response, from the request to its end in the store. `begin` refuses what can't be done; then exactly one
 * of `run`, `result` and `runInBackground` is called.
 */
export class Creation {
  readonly #context: ServerContext;
  readonly #info: RequestInfo;
  readonly #request: CreateResponse;
  readonly #served: ServedModel;
  readonly #store: ResponseStore;
  readonly #messages: readonly Message[];
  readonly #abort: AbortController;
  #prepared: Promise<Prepared> | undefined;
  #output: Output | undefined;
  #error: ApiError | undefined;
  #end: () => void = () => {};
  /** Resolves when the response has ended, however that was. */
  readonly ended: Promise<void>;
  /** As the API shows it, without output. */
  response: StoredResponse;

  /**
   * Checks a request, gets leave to generate and stores its beginning. A background response gets its leave later.
   *
   * @throws ApiError if the request can't be done, or there is no room for it
   */
  static async begin(context: ServerContext, info: RequestInfo, asked: CreateResponse): Promise<Creation> {
    const request = withoutAbsent(asked, context);
    const served = findModel(context, request.model ?? context.served[0]?.id);
    tokenizerOf(served);
    checkRequest(request, context);
    checkTools(request, context);
    const store = await context.store();
    const earlier = await conversationBefore(request, store, info.owner);
    const input = await readInput(
      request.input ?? [],
      earlier,
      (id) => store.item(id, info.owner),
      context.newId,
    );
    const messages = [...earlier, ...input].flatMap((item) => item.messages);
    if (messages.length === 0)
      throw invalid("input", "'input' says nothing to answer.", "missing_required_parameter");

    const creation = new Creation(context, info, request, served, store, messages);
    const prepared = creation.#prepare();
    prepared.catch(() => {}); // told of where it is awaited
    creation.#prepared = prepared;
    try {
      // a background response waits for its turn elsewhere, but is told at once if there is no room for it
      await (request.background ? Promise.race([prepared, undefined]) : prepared);
      if (request.store) await store.begin(creation.response, input, info.owner);
    } catch (error) {
      if (request.background) creation.cancel();
      await prepared.then(close).catch(() => {});
      creation.#end();
      throw error;
    }
    return creation;
  }

  private constructor(
    context: ServerContext,
    info: RequestInfo,
    request: CreateResponse,
    served: ServedModel,
    store: ResponseStore,
    messages: readonly Message[],
  ) {
    this.#context = context;
    this.#request = request;
    this.#served = served;
    this.#store = store;
    this.#messages = messages;
    // the client of a background response may go, and come back for it
    this.#abort = request.background ? new AbortController() : info.abort;
    this.#info = { ...info, abort: this.#abort };
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    const id = context.newId("resp_");
    this.response = newResponse(request, id, served.id, served.model, this.#seconds());
  }

  cancel(): void {
    this.#abort.abort(new DOMException("the response was cancelled", "AbortError"));
  }

  /** The events of the response's stream, without numbers. What goes wrong is an event too, and thrown only if it is the store. */
  async *run(): AsyncGenerator<ResponseEvent, void, void> {
    let outcome: Omit<Outcome, "usage"> | undefined;
    let prepared: Prepared | undefined;
    if (this.#request.background) {
      yield this.#event("created");
      yield this.#event("queued");
    }
    try {
      prepared = await this.#prepared!;
      yield* this.#begun();
      const events = generateOutput(prepared.job, prepared.prompt, prepared.slot.signal);
      try {
        let next = await events.next();
        for (; !next.done; next = await events.next()) yield shownEvent(next.value, this.#request.include);
        outcome = { status: next.value };
      } finally {
        await events.return("incomplete"); // where nobody listens any more, generation is to end too
      }
    } catch (error) {
      outcome = this.#failure(error);
    } finally {
      await this.#finish(outcome ?? { status: "cancelled" }, prepared); // without outcome, nobody listens any more
    }
    if (this.response.status !== "cancelled" || this.#request.background)
      yield this.#event(this.response.status);
  }

  /** Runs, and gives the whole response; rejects if it fails. */
  async result(): Promise<object> {
    for await (const _ of this.run());
    if (this.#error) throw this.#error;
    return this.#shown();
  }

  runInBackground(): void {
    const run = async (): Promise<void> => {
      for await (const _ of this.run());
    };
    run().catch((error: unknown) => this.#context.logger.error("a background response was lost", error));
  }

  async *#begun(): AsyncGenerator<ResponseEvent, void, void> {
    if (this.#request.background) {
      this.response = { ...this.response, status: "in_progress" };
      await this.#store.update(this.response, []);
    } else yield this.#event("created");
    yield this.#event("in_progress");
  }

  /** Waits for leave, opens the tools and renders the prompt. */
  async #prepare(): Promise<Prepared> {
    const request = this.#request;
    const slot = await admit(this.#context, this.#info);
    slot.begin();
    let tools: OpenTools | undefined;
    try {
      const format = formatOf(request);
      tools = await openTools(request, format, this.#context);
      const { instructions, conversation } = splitInstructions(request, this.#messages);
      const opening = openingOf({
        effort: effortOf(request.reasoning.effort ?? undefined),
        date: this.#context.today(),
        instructions,
        functions: tools.functions,
        format,
        builtIn: tools.hosted,
      });
      this.#output = new Output({
        tools,
        tokenizer: tokenizerOf(this.#served),
        withLogprobs: request.include.includes("message.output_text.logprobs"),
        newId: this.#context.newId,
      });
      const job: Job = {
        request,
        context: this.#context,
        served: this.#served,
        info: this.#info,
        tools,
        opening,
        conversation,
        output: this.#output,
      };
      return { job, prompt: await promptOf(job, slot.signal), slot };
    } catch (error) {
      await tools?.close();
      slot.release();
      throw error;
    }
  }

  async #finish(outcome: Omit<Outcome, "usage">, prepared: Prepared | undefined): Promise<void> {
    const output = this.#output;
    if (output) for (const _ of output.stop()); // what is open is kept as incomplete
    const { prompt, cached, generated } = this.#info.tokens;
    const usage = { input: prompt, cached, output: generated, reasoning: output?.reasoningTokens ?? 0 };
    this.response = endedResponse(this.response, { ...outcome, usage }, this.#seconds());
    try {
      if (this.#request.store) await this.#store.update(this.response, output?.items ?? []);
    } finally {
      if (prepared) await close(prepared); // the server may close the store once nobody holds a slot
      this.#end();
    }
  }

  #failure(error: unknown): Omit<Outcome, "usage"> {
    if (this.#abort.signal.aborted) return { status: "cancelled" };
    this.#error = toApiError(error);
    if (this.#error.status >= 500 && this.#error.cause !== undefined)
      this.#context.logger.error("a response failed", this.#error.cause);
    const { status, code, message } = this.#error;
    return {
      status: "failed",
      error: { code: status >= 500 ? "server_error" : (code ?? "invalid_prompt"), message },
    };
  }

  #event(type: string): ResponseEvent {
    return { type: `response.${type}`, response: this.#shown() };
  }

  #shown(): StoredResponse {
    const items: readonly StoredItem[] = this.#output?.items ?? [];
    return withOutput(
      this.response,
      items.map(({ item }) => item),
      this.#request.include,
    );
  }

  #seconds(): number {
    return Math.floor(this.#context.now() / 1000);
  }
}

async function close({ job, slot }: Prepared): Promise<void> {
  slot.release();
  await job.tools.close().catch((error: unknown) => job.context.logger.error("a tool didn't close", error));
}

function checkRequest(request: CreateResponse, { limits }: ServerContext): void {
  const { background, store, input, top_logprobs, include } = request;
  if (background && !store)
    throw invalid("background", "'background' needs 'store': otherwise nobody could ask for the response.");
  if (typeof input === "object" && input.length > limits.messages)
    throw invalid("input", `'input': at most ${limits.messages} items.`);
  if (top_logprobs > 0 && !include.includes("message.output_text.logprobs"))
    throw invalid("top_logprobs", "'top_logprobs' needs 'message.output_text.logprobs' in 'include'.");
}

async function conversationBefore(
  { previous_response_id: id }: CreateResponse,
  store: ResponseStore,
  owner: string,
): Promise<readonly StoredItem[]> {
  if (id === undefined) return [];
  const previous = await store.get(id, owner);
  const items = previous && (await store.conversation(id, owner));
  if (!items)
    throw notFound(
      `Previous response with id '${id.slice(0, 100)}' not found.`,
      "previous_response_id",
      "previous_response_not_found",
    );
  if (previous.status === "queued" || previous.status === "in_progress")
    throw invalid("previous_response_id", `The response '${id}' hasn't ended yet.`);
  return items;
}

function formatOf({ text }: CreateResponse): AnswerFormat {
  const format = text.format ?? { type: "text" };
  if (format.type !== "json_schema") return { type: format.type };
  const { name, description, schema } = format;
  return {
    type: "json_schema",
    name,
    description: description ?? undefined,
    schema,
    param: "text.format.schema",
  };
}

/** Developer's messages at the very beginning join the instructions in the one that a conversation opens with. */
function splitInstructions(
  { instructions }: CreateResponse,
  messages: readonly Message[],
): { readonly instructions: readonly string[]; readonly conversation: readonly Message[] } {
  const first = messages.findIndex(({ role }) => role !== "developer");
  const leading = messages.slice(0, first < 0 ? messages.length : first);
  const told = leading.flatMap(({ content }) =>
    typeof content === "string"
      ? [content]
      : content.map((part) => (part.type === "developer" ? (part.instructions ?? "") : "")),
  );
  return {
    instructions: [...(instructions === undefined ? [] : [instructions]), ...told],
    conversation: messages.slice(leading.length),
  };
}
