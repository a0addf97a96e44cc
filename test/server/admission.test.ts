import { expect, test } from "vitest";
import { Admission, type Slot } from "../../src/server/admission.ts";

const never = (): AbortSignal => new AbortController().signal;

/** Notes in which order slots come, and lets the test release them. */
function book(admission: Admission) {
  const order: string[] = [];
  const slots: Slot[] = [];
  const enter = (client: string, signal = never()): Promise<void> =>
    admission.enter(client, signal)[0]!.then((slot) => {
      order.push(client);
      slots.push(slot);
    });
  return { order, slots, enter };
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

test("clients take turns, however many requests each of them has waiting", async () => {
  const admission = new Admission({ parallel: 1, queue: 10 });
  const { order, slots, enter } = book(admission);
  for (const client of ["a", "a", "a", "a", "b", "b", "c"]) void enter(client);
  for (let i = 0; i < 7; i++) {
    await settle();
    expect(order).toHaveLength(i + 1);
    slots[i]!.release();
    slots[i]!.release(); // again: it counts once
  }
  expect(order.join("")).toBe("aabcaba");
  expect([admission.running, admission.queued]).toEqual([0, 0]);
});

test("a full queue answers 429 and says when to try again", async () => {
  const admission = new Admission({ parallel: 2, queue: 1 });
  const { enter } = book(admission);
  for (const _ of [1, 2, 3]) void enter("a");
  expect(() => admission.enter("a", never())).toThrow(
    expect.objectContaining({ status: 429, type: "rate_limit_exceeded", headers: { "retry-after": "1" } }),
  );
  expect(() => new Admission({ parallel: 1, queue: 1 }).enter("a", never(), 3)).toThrow("busy");
});

test("in a full queue, who has most waiting gives way to who has less", async () => {
  const admission = new Admission({ parallel: 1, queue: 3 });
  const { order, slots, enter } = book(admission);
  const waiting = ["a", "a", "a", "a"].map((client) => enter(client));
  const refused = expect(waiting[3]).rejects.toMatchObject({ status: 429 });
  void enter("b");
  await refused;
  for (let i = 0; i < 4; i++) {
    await settle();
    slots[i]!.release();
  }
  expect(order.join("")).toBe("aaba");
});

test("who goes away leaves the queue, and a slot that nobody began with", async () => {
  const admission = new Admission({ parallel: 1, queue: 3 });
  const { order, slots, enter } = book(admission);
  const [first, second] = [new AbortController(), new AbortController()];
  void enter("a", first.signal);
  const gone = expect(enter("b", second.signal)).rejects.toThrow("gone");
  void enter("c");
  await settle();
  second.abort(new Error("gone"));
  await gone;
  expect(admission.queued).toBe(1);
  first.abort();
  await settle();
  expect(order).toEqual(["a", "c"]);
  slots[1]!.begin();
  expect(slots[0]!.signal.aborted).toBe(true);
  expect(admission.running).toBe(1);
});

test("closing turns away who waits and who comes, and waits for who runs", async () => {
  const admission = new Admission({ parallel: 1, queue: 3 });
  const { slots, enter } = book(admission);
  void enter("a");
  const waits = expect(enter("b")).rejects.toMatchObject({ status: 503 });
  await settle();
  slots[0]!.begin();
  admission.close();
  await waits;
  expect(() => admission.enter("c", never())).toThrow(expect.objectContaining({ status: 503 }));
  let isIdle = false;
  const idle = admission.idle().then(() => {
    isIdle = true;
  });
  admission.abort();
  await settle();
  expect(slots[0]!.signal.aborted).toBe(true);
  expect(isIdle).toBe(false);
  slots[0]!.release();
  await idle;
});
