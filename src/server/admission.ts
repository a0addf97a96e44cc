import { ApiError } from "./errors.ts";

/** Leave to generate; release it when done, whatever the outcome. */
export interface Slot {
  /** Aborted when the client is gone or the server stops. */
  readonly signal: AbortSignal;
  /** Work begins. A slot that is aborted ahead of this is released by itself: its holder may never come to it. */
  begin(): void;
  /** May be called more than once. */
  release(): void;
}

export interface AdmissionOptions {
  /** Generations that run at a time. */
  readonly parallel: number;
  /** Generations that wait for their turn. */
  readonly queue: number;
}

interface Ticket {
  readonly client: string;
  readonly signal: AbortSignal;
  readonly stop: AbortController;
  readonly resolve: (slot: Slot) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * Who may generate when. Clients take turns, however many requests each of them has waiting; in a full queue, the client
 * with most waiting gives way to one with fewer.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  /** Waiting tickets by client; the client whose turn is next comes first. */
  readonly #waiting: Map<string, Ticket[]> = new Map();
  readonly #running: Set<AbortController> = new Set();
  #queued = 0;
  #closing = false;
  #whenIdle: (() => void)[] = [];
  /** Seconds that a generation takes, roughly. */
  #seconds = 1;

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running.size;
  }

  get queued(): number {
    return this.#queued;
  }

  /** Generations that one request may ask for at most. */
  get capacity(): number {
    return this.#options.parallel + this.#options.queue;
  }

  get isClosing(): boolean {
    return this.#closing;
  }

  /**
   * Asks for slots, one for each generation of a request; each comes when it is its turn.
   *
   * @param signal aborted when the client is gone: what waits then leaves the queue
   * @throws ApiError at once, 429 if there is no room for all of them, 503 while the server shuts down
   */
  enter(client: string, signal: AbortSignal, count = 1): Promise<Slot>[] {
    signal.throwIfAborted();
    if (this.#closing) throw shuttingDown();
    const free = this.#options.parallel - this.running - this.#queued;
    while (this.#queued + count > this.#options.queue + Math.max(0, free)) {
      const longest = this.#longest();
      const own = this.#waiting.get(client)?.length ?? 0;
      if (!longest || longest.length <= own + count) throw this.#full();
      const dropped = longest.at(-1)!;
      this.#leave(dropped);
      dropped.reject(this.#full());
    }
    const tickets: Ticket[] = [];
    const leave = (): void => {
      for (const ticket of tickets) if (this.#leave(ticket)) ticket.reject(signal.reason);
    };
    signal.addEventListener("abort", leave, { once: true });
    const slots = Array.from({ length: count }, () => this.#enqueue(client, signal, tickets));
    // a signal that is made of others stays in memory for as long as somebody listens to it
    void Promise.allSettled(slots).then(() => signal.removeEventListener("abort", leave));
    return slots;
  }

  /** From now on nobody gets in; what waits is turned away. */
  close(): void {
    this.#closing = true;
    for (const ticket of [...this.#waiting.values()].flat()) {
      this.#leave(ticket);
      ticket.reject(shuttingDown());
    }
  }

  /** Aborts what runs. */
  abort(): void {
    for (const stop of this.#running) stop.abort(shuttingDown());
  }

  /** Resolves once nothing runs. */
  idle(): Promise<void> {
    if (this.running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  #enqueue(client: string, signal: AbortSignal, request: Ticket[]): Promise<Slot> {
    const slot = new Promise<Slot>((resolve, reject) => {
      const stop = new AbortController();
      const either = AbortSignal.any([signal, stop.signal]);
      const ticket: Ticket = { client, signal: either, stop, resolve, reject };
      const tickets = this.#waiting.get(client);
      if (tickets) tickets.push(ticket);
      else this.#waiting.set(client, [ticket]);
      this.#queued++;
      request.push(ticket);
    });
    slot.catch(() => {}); // where one of several fails, nobody may be left to look at the others
    this.#next();
    return slot;
  }

  #next(): void {
    while (this.running < this.#options.parallel) {
      const [first] = this.#waiting;
      if (!first) return;
      const [client, tickets] = first;
      const ticket = tickets[0]!;
      this.#leave(ticket);
      if (tickets.length > 0) {
        this.#waiting.delete(client); // to the end of the round
        this.#waiting.set(client, tickets);
      }
      this.#start(ticket);
    }
  }

  #start({ stop, signal, resolve }: Ticket): void {
    const start = performance.now();
    this.#running.add(stop);
    const release = (): void => {
      if (!this.#running.delete(stop)) return;
      this.#seconds += ((performance.now() - start) / 1000 - this.#seconds) / 8;
      this.#next();
      if (this.running > 0) return;
      for (const tell of this.#whenIdle.splice(0)) tell();
    };
    signal.addEventListener("abort", release, { once: true });
    if (signal.aborted) release();
    resolve({ signal, release, begin: () => signal.removeEventListener("abort", release) });
  }

  /** Takes a ticket out of the queue; false if it wasn't there any more. */
  #leave(ticket: Ticket): boolean {
    const tickets = this.#waiting.get(ticket.client);
    const at = tickets?.indexOf(ticket) ?? -1;
    if (at < 0) return false;
    tickets!.splice(at, 1);
    if (tickets!.length === 0) this.#waiting.delete(ticket.client);
    this.#queued--;
    return true;
  }

  #longest(): Ticket[] | undefined {
    let longest: Ticket[] | undefined;
    for (const tickets of this.#waiting.values())
      if (tickets.length > (longest?.length ?? 0)) longest = tickets;
    return longest;
  }

  #full(): ApiError {
    const rounds = (this.#queued + 1) / this.#options.parallel;
    const seconds = Math.min(60, Math.max(1, Math.ceil(this.#seconds * rounds)));
    return new ApiError(429, `The server is busy. Try again in ${seconds} s.`, {
      type: "rate_limit_exceeded",
      code: "rate_limit_exceeded",
      headers: { "retry-after": String(seconds) },
    });
  }
}

function shuttingDown(): ApiError {
  return new ApiError(503, "The server is shutting down.", { code: "server_shutting_down" });
}
