import { updateMarkdown } from "./markdown.ts";
import { answerOf, type Step, type Turn } from "./turn.ts";

/** One question and its answer on the page. Everything is shown as text, or by `updateMarkdown`. */
export class TurnView {
  readonly element: HTMLElement;
  readonly #turn: Turn;
  readonly #steps: HTMLElement;
  readonly #end: HTMLElement;

  constructor(turn: Turn, retry: () => void) {
    this.#turn = turn;
    const question = make("div", "question", turn.question);
    this.#steps = make("div", "steps");
    this.#end = make("div", "end");
    this.element = make("article", "turn");
    this.element.append(question, this.#steps, this.#end);
    this.#retry = retry;
    for (const index of turn.steps.keys()) this.update(index);
    this.end();
  }

  readonly #retry: () => void;

  /** Shows what has changed of a step. */
  update(index: number): void {
    const step = this.#turn.steps[index]!;
    let element = this.#steps.children[index];
    if (!element) {
      element = makeStep(step);
      this.#steps.append(element);
    }
    const isLast = index === this.#turn.steps.length - 1;
    updateStep(element, step, isLast && this.#turn.end === undefined);
  }

  /** Shows how the turn ended, once it has. */
  end(): void {
    const turn = this.#turn;
    this.#end.replaceChildren();
    if (turn.end === undefined) return;
    for (const index of turn.steps.keys()) this.update(index);
    if (turn.problem !== undefined) this.#end.append(make("p", "problem", turn.problem));
    const tools = make("p", "stats", turn.end);
    if (answerOf(turn) !== "" && navigator.clipboard) tools.append(copyButton(turn));
    if (turn.problem !== undefined) tools.append(button("Try again", this.#retry));
    this.#end.append(tools);
  }
}

function makeStep(step: Step): HTMLElement {
  if (step.type === "text") return make("div", "answer");
  const details = make("details", step.type);
  details.append(make("summary", ""), make("div", "folded"));
  return details;
}

function updateStep(element: Element, step: Step, isRunning: boolean): void {
  if (step.type === "text") {
    updateMarkdown(element, step.text);
    return;
  }
  const [summary, folded] = element.children as unknown as [HTMLElement, HTMLElement];
  element.classList.toggle("running", isRunning);
  if (step.type === "reasoning") {
    const seconds = `${step.seconds.toFixed(step.seconds < 10 ? 1 : 0)} s`;
    setText(summary, isRunning ? `Thinking… ${seconds}` : `Thought for ${seconds}`);
    setText(folded, step.text);
    return;
  }
  setText(summary, isRunning ? `Using ${step.name}…` : `Used ${step.name}`);
  const parts = [make("pre", "input", step.text)];
  if (step.result !== undefined) parts.push(make("pre", "result", step.result));
  folded.replaceChildren(...parts);
}

function copyButton(turn: Turn): HTMLElement {
  const copy = button("Copy", async () => {
    await navigator.clipboard.writeText(answerOf(turn)).then(
      () => setText(copy, "Copied"),
      () => setText(copy, "Copying isn't allowed"),
    );
    setTimeout(() => setText(copy, "Copy"), 2000);
  });
  return copy;
}

function button(label: string, press: () => void): HTMLButtonElement {
  const made = make("button", "small", label) as HTMLButtonElement;
  made.type = "button";
  made.addEventListener("click", press);
  return made;
}

function make(name: string, className: string, text = ""): HTMLElement {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** Leaves a text that is there alone: whoever has selected it keeps the selection. */
function setText(element: HTMLElement, text: string): void {
  const node = element.firstChild as Text | null;
  if (node && text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else if (element.textContent !== text) element.textContent = text;
}
