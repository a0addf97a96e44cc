/** What the page knows of one question and what came of it; plain data, so that the tab can keep it. */
export interface Turn {
  readonly question: string;
  /** In the order of the response's output items. */
  readonly steps: Step[];
  /** How it ended, in words; undefined while it goes on. */
  end?: string;
  /** What went wrong, in words. */
  problem?: string;
}

export type Step =
  | { readonly type: "reasoning"; text: string; readonly begin: number; seconds: number }
  | { readonly type: "text"; text: string }
  | { readonly type: "call"; readonly name: string; text: string; result?: string };

/** Fields of the events of /v1/responses that the page reads. All else in them is ignored. */
export interface ResponseEvent {
  readonly type: string;
  readonly output_index?: number;
  readonly delta?: string;
  readonly item?: Item;
  readonly message?: string;
  readonly response?: {
    readonly error?: { readonly message: string } | null;
    readonly usage?: { readonly output_tokens: number } | null;
  };
}

interface Item {
  readonly type: string;
  readonly name?: string;
  readonly content?: readonly { readonly text?: string }[];
  readonly code?: string;
  readonly arguments?: string;
  readonly outputs?: readonly { readonly logs?: string }[] | null;
  readonly output?: string | null;
  readonly error?: string | null;
  readonly action?: {
    readonly type: string;
    readonly query?: string;
    readonly url?: string | null;
    readonly pattern?: string;
  };
}

/** Takes an event of the stream; `seconds` is the time since the request. Returns the index of the step that changed. */
export function applyEvent(turn: Turn, event: ResponseEvent, seconds: number): number | undefined {
  const { type, output_index: index = -1, item, delta } = event;
  const step = turn.steps[index];
  if (type === "response.output_item.added" && item && index === turn.steps.length) {
    turn.steps.push(newStep(item, seconds));
    return index;
  }
  if (type === "response.output_item.done" && item && step) {
    endStep(step, item);
    return index;
  }
  if (type.endsWith(".delta") && step && delta !== undefined) {
    step.text += delta;
    if (step.type === "reasoning") step.seconds = seconds - step.begin;
    return index;
  }
  if (type === "error" || type === "response.failed")
    turn.problem = event.response?.error?.message ?? event.message ?? "The server failed.";
  if (type === "response.incomplete")
    turn.problem = "The answer was cut: it has reached the limit of tokens.";
  return undefined;
}

function newStep({ type, name = "" }: Item, begin: number): Step {
  if (type === "reasoning") return { type: "reasoning", text: "", begin, seconds: 0 };
  if (type === "message") return { type: "text", text: "" };
  const names: Readonly<Record<string, string>> = {
    code_interpreter_call: "Python",
    web_search_call: "Browser",
  };
  return { type: "call", name: names[type] ?? name, text: "" };
}

function endStep(step: Step, item: Item): void {
  const whole =
    item.content?.map(({ text = "" }) => text).join("") ?? item.code ?? item.arguments ?? actionText(item);
  if (whole !== "") step.text = whole;
  if (step.type !== "call") return;
  const result = item.outputs?.map(({ logs = "" }) => logs).join("\n") ?? item.error ?? item.output;
  if (result != null) step.result = result;
}

function actionText({ action }: Item): string {
  if (!action) return "";
  const { type, query, url, pattern } = action;
  if (type === "search") return `search: ${query ?? ""}`;
  return type === "find_in_page"
    ? `find “${pattern ?? ""}” in ${url ?? "the page"}`
    : `open ${url ?? "a page"}`;
}

/** What was answered, remarks on the way included. */
export function answerOf({ steps }: Turn): string {
  return steps.flatMap((step) => (step.type === "text" && step.text !== "" ? [step.text] : [])).join("\n\n");
}

interface InputMessage {
  readonly role: "user" | "assistant";
  readonly content: string;
}

/** The conversation as the request's input. Reasoning and calls of earlier turns aren't shown to the model again. */
export function inputOf(turns: readonly Turn[]): InputMessage[] {
  return turns.flatMap((turn, index): InputMessage[] => {
    const content = answerOf(turn);
    const question: InputMessage = { role: "user", content: turn.question };
    if (content !== "") return [question, { role: "assistant", content }];
    return index === turns.length - 1 ? [question] : []; // what failed is asked again by the user, if at all
  });
}
