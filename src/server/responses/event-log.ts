import type { ServerSentEvent } from "../sse.ts";

/** Responses that have ended whose events can still be asked for. */
const ENDED = 64;

/** The events of background responses that are streamed: clients may leave, and come back for what they have missed. */
export class EventLogs {
  readonly #running: Map<string, EventLog> = new Map();
  readonly #ended: Map<string, EventLog> = new Map();

  /** Takes the events as they come, whoever reads them; `events` tell of their errors themselves. */
  keep(id: string, events: AsyncIterable<ServerSentEvent>): EventLog {
    const log = new EventLog();
    this.#running.set(id, log);
    void log.take(events).then(() => {
      if (!this.#running.delete(id)) return; // it has been forgotten
      this.#ended.set(id, log);
      if (this.#ended.size > ENDED) this.#ended.delete(this.#ended.keys().next().value!);
    });
    return log;
  }

  get(id: string): EventLog | undefined {
    return this.#running.get(id) ?? this.#ended.get(id);
  }

  forget(id: string): void {
    this.#running.delete(id);
    this.#ended.delete(id);
  }
}

class EventLog {
  readonly #events: ServerSentEvent[] = [];
  #isOver = false;
  #wake = (): void => {};
  #news: Promise<void> = Promise.resolve();

  constructor() {
    this.#renew();
  }

  async take(events: AsyncIterable<ServerSentEvent>): Promise<void> {
    for await (const event of events) {
      this.#events.push(event);
      this.#renew();
    }
    this.#isOver = true;
    this.#wake();
  }

  /** Those behind the event of a number, which are counted from 0, as far as they are there and then as they come. */
  async *after(number: number): AsyncGenerator<ServerSentEvent, void, void> {
    for (let next = number + 1; ; next++) {
      while (next >= this.#events.length) {
        if (this.#isOver) return;
        await this.#news;
      }
      yield this.#events[next]!;
    }
  }

  #renew(): void {
    this.#wake();
    this.#news = new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
