// Loaded into the server under test (`node --expose-gc --import`): tells its parent what it holds after a full collection, and
// what time it has had of the processors.
process.on("message", (question) => {
  if (question === "cpu") return process.send(process.cpuUsage());
  globalThis.gc();
  process.send(process.memoryUsage());
});
process.channel.unref(); // the server ends as it would without
