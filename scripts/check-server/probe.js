// Loaded into the server under test (`node --expose-gc --import`): tells its parent what memory it holds after a full collection.
process.on("message", () => {
  globalThis.gc();
  process.send(process.memoryUsage());
});
process.channel.unref(); // the server ends as it would without
