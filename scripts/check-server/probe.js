// Loaded into the server under test (`node --expose-gc --import`): tells its parent what it holds after full collections, and
// what it has used of the machine.
import { setTimeout } from "node:timers/promises";
import { writeHeapSnapshot } from "node:v8";

process.on("message", async (question) => {
  if (question === "usage") return process.send(process.resourceUsage());
  // what WeakRefs and finalizers hold goes one round later than the rest
  for (let i = 0; i < 3; i++) {
    globalThis.gc();
    await setTimeout(20);
  }
  process.send(question === "memory" ? process.memoryUsage() : writeHeapSnapshot(question.snapshot));
});
process.channel.unref(); // the server ends as it would without
