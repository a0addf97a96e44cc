/** A worker thread: takes jobs out of shared memory until it is asked to leave and read its messages. */
import { createArenaView, runJob, type Thread } from "./jobs.ts";

/** Indices into the control words. OPEN counts the jobs that nobody has taken yet, FINISHED those that are done. */
export const OPEN = 0;
export const FINISHED = 16; // a cache line of its own
export const ROUND = 32;
export const SLEEPING = 33;
export const LEAVE = 34;
export const FAILED = 35;
export const NAP = 48; // always 0

/**
 * How long an idle worker looks for work before it sleeps, in looks of some 4 ns: about as long as its last jobs took, since waking
 * it costs more than that only for short ones, and whoever spins takes a processor from others.
 */
const SPINS_A_MS = 250_000;
const MIN_SPINS = 2_500;
const MAX_SPINS = 50_000;

export type ToWorker =
  | {
      readonly kind: "start";
      readonly index: number;
      readonly control: Int32Array;
      readonly jobs: Float64Array;
      readonly module: WebAssembly.Module;
    }
  | { readonly kind: "addArena"; readonly id: number; readonly memory: WebAssembly.Memory }
  | { readonly kind: "removeArena"; readonly id: number }
  /** Take jobs until LEAVE is another number: a worker that hasn't seen one call to its messages will see the next. */
  | { readonly kind: "work"; readonly leave: number };

/** What a worker answers to each message but `work`. */
export const DONE = "done";

/** @returns what handles the messages of the thread that this worker works for */
export function createWorker(answer: (message: string) => void): (message: ToWorker) => void {
  let thread: Thread;
  let control: Int32Array;
  let module: WebAssembly.Module;
  return (message) => {
    switch (message.kind) {
      case "start":
        ({ control, module } = message);
        thread = { index: message.index, arenas: new Map(), jobs: message.jobs };
        break;
      case "addArena":
        thread.arenas.set(message.id, createArenaView(message.memory, module));
        break;
      case "removeArena":
        thread.arenas.delete(message.id);
        break;
      case "work":
        work(thread, control, message.leave);
        return;
    }
    answer(DONE);
  };
}

function work(thread: Thread, control: Int32Array, leave: number): void {
  let most = MIN_SPINS;
  while (Atomics.load(control, LEAVE) === leave) {
    const round = Atomics.load(control, ROUND);
    const start = performance.now();
    if (takeJobs(thread, control)) {
      const spins = (performance.now() - start) * SPINS_A_MS;
      most = Math.min(Math.max(spins, MIN_SPINS), MAX_SPINS);
      continue;
    }
    let spins = 0;
    while (spins < most && Atomics.load(control, ROUND) === round) spins++;
    if (spins < most) continue;
    Atomics.add(control, SLEEPING, 1);
    Atomics.wait(control, ROUND, round);
    Atomics.sub(control, SLEEPING, 1);
  }
}

/**
 * Runs jobs while there are any. One subtraction both looks and takes: whoever gets a number above 0 owns that
 * job, also where the count was set again a moment ago.
 */
function takeJobs(thread: Thread, control: Int32Array): boolean {
  let taken = 0;
  if (Atomics.load(control, OPEN) <= 0) return false;
  try {
    for (let job = Atomics.sub(control, OPEN, 1); job > 0; job = Atomics.sub(control, OPEN, 1)) {
      runJob(thread, job - 1);
      taken++;
    }
  } catch (error) {
    Atomics.store(control, FAILED, 1);
    throw error;
  }
  Atomics.add(control, FINISHED, taken);
  return taken > 0;
}
