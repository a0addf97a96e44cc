import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import type { AgentEvent, Final } from "../agent/index.ts";
import type { CitationStream, ToolImage, ToolResult } from "../tools/index.ts";
import { dim, printable } from "./terminal.ts";

/** Lines of a tool's result that are shown; all of it is there on request. */
const RESULT_LINES = 8;

type Section = "none" | "reasoning" | "call" | "text";

/** Writes what an agent does to a terminal, or plainly to a pipe. */
export class ChatView {
  readonly #out: NodeJS.WriteStream;
  /** Whether reasoning is one line that says how long it is. */
  folded: boolean;
  #section: Section = "none";
  #citations: CitationStream | undefined;
  #atLineStart = true;
  #hasStatus = false;
  #reasoning = "";
  #reasoningTokens = 0;
  #reasoningStart = 0;
  /** What the latest turn has hidden or cut: reasoning and results in full. */
  #details: string[] = [];

  constructor(out: NodeJS.WriteStream, folded: boolean) {
    this.#out = out;
    this.folded = folded && out.isTTY;
  }

  /** A new turn begins. With citations, links stand in their place in the answer. */
  begin(citations?: CitationStream): void {
    this.#citations = citations;
    this.#details = [];
    this.#section = "none";
    this.#atLineStart = true;
  }

  show(event: AgentEvent): void {
    switch (event.type) {
      case "reasoning":
        this.#enter("reasoning");
        this.#showReasoning(event.delta);
        break;
      case "text":
        this.#enter("text");
        this.#write(printable(this.#citations?.push(event.delta).text ?? event.delta, this.#out));
        break;
      case "tool-call-delta":
        if (this.#section !== "call") {
          this.#enter("call");
          this.#note(`⚙ ${event.recipient}`);
          this.#write(dim("  │ ", this.#out));
        }
        this.#write(dim(printable(event.delta, this.#out).replaceAll("\n", "\n  │ "), this.#out));
        break;
      case "tool-call":
        if (this.#section !== "call") {
          this.#enter("call");
          this.#note(`⚙ ${event.call.recipient}`);
        }
        break;
      case "tool-result":
        this.#enter("none");
        this.#showResult(event.result, event.seconds);
        break;
      case "dropped":
        this.note(
          `(the conversation is long: the model no longer sees its first ${event.messages} messages)`,
        );
        break;
      case "final":
        this.#enter("none");
        this.#showFooter(event);
        break;
      case "repair":
        break;
    }
  }

  /** A line of the program's own, on a line of its own. */
  note(text: string): void {
    this.#enter("none");
    this.#note(text);
  }

  /** A line that the next output takes the place of; on terminals only. */
  status(text: string): void {
    if (!this.#out.isTTY) return;
    this.#newLine();
    const width = Math.max(1, (this.#out.columns || 80) - 1);
    this.#out.write(dim(printable(text, this.#out).slice(0, width), this.#out));
    this.#hasStatus = true;
  }

  /** Folds or unfolds; reasoning that is under way appears in full, or becomes one line. */
  toggleFold(): void {
    this.folded = !this.folded;
    if (this.#section !== "reasoning") return;
    if (this.folded) {
      this.#newLine();
      this.#showThinking();
    } else {
      this.#write(dim(printable(this.#reasoning, this.#out), this.#out));
    }
  }

  /** All that the latest turn has hidden or cut. */
  showDetails(): void {
    if (this.#details.length === 0) this.note("(nothing was hidden)");
    for (const text of this.#details) this.note(printable(text, this.#out));
  }

  #enter(section: Section): void {
    if (section === this.#section) return;
    if (this.#section === "reasoning") this.#endReasoning();
    if (this.#section === "text") this.#write(printable(this.#citations?.end().text ?? "", this.#out));
    this.#newLine();
    this.#section = section;
  }

  #showReasoning(delta: string): void {
    if (this.#reasoningTokens === 0) this.#reasoningStart = performance.now();
    this.#reasoning += delta;
    this.#reasoningTokens++;
    if (this.folded) this.#showThinking();
    else this.#write(dim(printable(delta, this.#out), this.#out));
  }

  #showThinking(): void {
    const tail = this.#reasoning.replace(/\s+/g, " ").slice(-60);
    this.status(`▸ thinking, ${this.#reasoningTokens} tokens  …${tail}`);
  }

  #endReasoning(): void {
    if (this.folded) {
      const seconds = (performance.now() - this.#reasoningStart) / 1000;
      this.#note(`▸ thought for ${seconds.toFixed(1)} s, ${this.#reasoningTokens} tokens`);
    }
    this.#details.push(this.#reasoning);
    this.#reasoning = "";
    this.#reasoningTokens = 0;
  }

  #showResult({ text, isError, images = [] }: ToolResult, seconds: number): void {
    const lines = text.trimEnd().split("\n");
    const hidden = lines.length - RESULT_LINES;
    for (const [i, line] of lines.slice(0, RESULT_LINES).entries())
      this.#note(`  ${i === 0 ? (isError ? "✗" : "└") : " "} ${line}`);
    if (hidden > 0) {
      this.#note(`    … ${hidden} more lines (/show)`);
      this.#details.push(text);
    }
    if (seconds >= 1) this.#note(`    ${seconds.toFixed(1)} s`);
    for (const image of images) this.#note(`    image: ${saveImage(image)}`);
  }

  #showFooter({ text, finishReason, usage }: Final): void {
    if (text === "" && finishReason === "stop") this.#note("(no answer)");
    if (finishReason === "length") this.#note("(cut: the limit of tokens was reached; /continue goes on)");
    if (finishReason === "steps") this.#note("(stopped: the limit of calls was reached; /continue goes on)");
    if (!this.#out.isTTY) return;
    const { promptTokens, cachedTokens, completionTokens, prefillSeconds, decodeSeconds } = usage;
    const speed = decodeSeconds > 0 ? completionTokens / decodeSeconds : 0;
    const parts = [
      `${completionTokens} tokens`,
      `${speed.toFixed(speed < 10 ? 1 : 0)} tokens/s`,
      `${promptTokens - cachedTokens} prompt tokens read in ${prefillSeconds.toFixed(1)} s`,
    ];
    this.#note(parts.join(" · "));
  }

  #note(text: string): void {
    this.#newLine();
    this.#write(dim(printable(text, this.#out), this.#out));
    this.#newLine();
  }

  #newLine(): void {
    this.#clearStatus();
    if (!this.#atLineStart) this.#out.write("\n");
    this.#atLineStart = true;
  }

  #write(text: string): void {
    if (text === "") return;
    this.#clearStatus();
    this.#out.write(text);
    this.#atLineStart = stripVTControlCharacters(text).endsWith("\n");
  }

  #clearStatus(): void {
    if (this.#hasStatus) this.#out.write("\r\x1b[2K");
    this.#hasStatus = false;
  }
}

const ENDINGS: Readonly<Record<string, string>> = {
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/gif": "gif",
  "image/webp": "webp",
  "image/svg+xml": "svg",
};

/** Puts an image where its user can open it, and returns the path. */
function saveImage({ mediaType, data }: ToolImage): string {
  const path = join(mkdtempSync(join(tmpdir(), "gpt-oss-")), `image.${ENDINGS[mediaType] ?? "bin"}`);
  writeFileSync(path, data);
  return path;
}
