import { askWhatIsServed, Problem, respond, type Served } from "./server.ts";
import { keep, keepKey, restore, restoreKey } from "./store.ts";
import { applyEvent, inputOf, type Turn } from "./turn.ts";
import { TurnView } from "./view.ts";

const find = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const form = find<HTMLFormElement>("ask");
const question = find<HTMLTextAreaElement>("question");
const send = find<HTMLButtonElement>("send");
const log = find("log");
const list = find("turns");
const status = find("status");
const tools = find("tools");
const keyForm = find<HTMLFormElement>("key-form");
const keyField = find<HTMLInputElement>("key");

let turns: Turn[] = [];
let served: Served | undefined;
let key = restoreKey(sessionStorage);
/** The answer under way. */
let running: AbortController | undefined;
let chosenTools: readonly string[] = [];

const effort = (): string => new FormData(find<HTMLFormElement>("settings")).get("effort") as string;
const TOOLS: Readonly<Record<string, object>> = {
  python: { type: "code_interpreter", container: { type: "auto" } },
  browser: { type: "web_search" },
};
const toolOf = (name: string): object =>
  TOOLS[name] ?? { type: "mcp", server_label: name, require_approval: "never" };

async function connect(): Promise<void> {
  try {
    served = await askWhatIsServed(key);
    find("model").textContent = served.model;
    keyForm.hidden = true;
    showTools(served.tools);
    say("");
  } catch (error) {
    fail(error);
  }
}

function showTools(names: readonly string[]): void {
  tools.hidden = names.length === 0;
  const boxes = names.map((name) => {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.name = "tool";
    box.value = name;
    box.checked = chosenTools.includes(name);
    label.append(box, name);
    return label;
  });
  tools.replaceChildren(tools.firstElementChild!, ...boxes);
}

/** What is wrong, where the page as a whole is concerned. */
function fail(error: unknown): void {
  say(error instanceof Error ? error.message : String(error));
  if (!(error instanceof Problem && error.needsKey)) return;
  keyForm.hidden = false;
  keyField.focus();
}

/** Shows a line above the question, which screen readers read out. */
function say(text: string): void {
  status.textContent = text;
}

function show(turn: Turn): TurnView {
  const view = new TurnView(turn, () => {
    if (running) return;
    turns = turns.filter((other) => other !== turn);
    view.element.remove();
    void ask(turn.question);
  });
  list.append(view.element);
  document.body.classList.add("begun");
  return view;
}

async function ask(text: string): Promise<void> {
  const turn: Turn = { question: text, steps: [] };
  turns.push(turn);
  const view = show(turn);
  const controller = new AbortController();
  running = controller;
  setRunning(true);
  say("Waiting for the model…");
  scrollToEnd();

  const start = performance.now();
  const seconds = (): number => (performance.now() - start) / 1000;
  let writing = 0; // seconds between the tokens of a message, which tools and waiting have no part in
  let latest: { readonly index: number | undefined; readonly at: number } | undefined;
  let outputTokens = 0;
  const changed = new Set<number>();
  try {
    served ??= await askWhatIsServed(key);
    const body = {
      model: served.model,
      input: inputOf(turns),
      reasoning: { effort: effort() },
      include: ["code_interpreter_call.outputs"],
      ...(chosenTools.length > 0 && { tools: chosenTools.map(toolOf) }),
    };
    for await (const event of respond(body, key, controller.signal)) {
      if (event.delta !== undefined) {
        const at = seconds();
        if (latest && latest.index === event.output_index) writing += at - latest.at;
        latest = { index: event.output_index, at };
      }
      outputTokens = event.response?.usage?.output_tokens ?? outputTokens;
      const index = applyEvent(turn, event, seconds());
      if (index === undefined) continue;
      if (changed.size === 0) requestAnimationFrame(() => draw(turn, view, changed));
      changed.add(index);
    }
    turn.end = statistics(outputTokens, writing);
  } catch (error) {
    if (controller.signal.aborted) turn.end = "Stopped.";
    else {
      turn.end = "";
      turn.problem = error instanceof Error ? error.message : String(error);
      if (error instanceof Problem && error.needsKey) fail(error);
    }
  } finally {
    draw(turn, view, changed);
    following(() => view.end());
    running = undefined;
    setRunning(false);
    if (keyForm.hidden) say("");
    save();
  }
}

function statistics(tokens: number, seconds: number): string {
  if (tokens === 0) return "";
  if (seconds === 0) return `${tokens} tokens`;
  return `${tokens} tokens, ${(tokens / seconds).toFixed(1)} a second`;
}

/** Once a frame, however quickly tokens come. */
function draw(turn: Turn, view: TurnView, changed: Set<number>): void {
  if (changed.size === 0) return;
  const last = turn.steps.length - 1;
  following(() => {
    for (const index of changed) {
      view.update(index);
      if (index === last && index > 0) view.update(index - 1); // no longer the one that runs
    }
  });
  changed.clear();
  const step = turn.steps[last];
  if (step) say({ reasoning: "Thinking…", text: "Answering…", call: "Using a tool…" }[step.type]);
}

/** Changes the page, and stays at its end unless its reader has scrolled away. */
function following(change: () => void): void {
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  change();
  if (isAtEnd) scrollToEnd();
}

function scrollToEnd(): void {
  log.scrollTop = log.scrollHeight;
}

function setRunning(is: boolean): void {
  send.textContent = is ? "Stop" : "Send";
  log.setAttribute("aria-busy", String(is));
}

function save(): void {
  keep(sessionStorage, { turns, effort: effort(), tools: chosenTools });
}

function submit(): void {
  const text = question.value.trim();
  if (running || text === "") return;
  question.value = "";
  void ask(text);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) running.abort();
  else submit();
});
question.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
find("new").addEventListener("click", () => {
  running?.abort();
  turns = [];
  list.replaceChildren();
  document.body.classList.remove("begun");
  save();
  question.focus();
});
find("settings").addEventListener("change", () => {
  const boxes = tools.querySelectorAll<HTMLInputElement>("input:checked");
  chosenTools = Array.from(boxes, (box) => box.value);
  save();
});
keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  key = keyField.value.trim() || undefined;
  if (key !== undefined) keepKey(sessionStorage, key);
  keyField.value = "";
  void connect();
});
addEventListener("pagehide", () => {
  const last = turns.at(-1);
  if (running && last) last.end = "Stopped.";
  save();
});

const kept = restore(sessionStorage);
if (kept) {
  turns = kept.turns;
  chosenTools = kept.tools;
  const choice = document.querySelector<HTMLInputElement>(
    `input[name="effort"][value="${CSS.escape(kept.effort)}"]`,
  );
  if (choice) choice.checked = true;
  for (const turn of turns) show(turn);
  scrollToEnd();
}
void connect();
if (!matchMedia("(pointer: coarse)").matches) question.focus(); // elsewhere that would bring up a keyboard
