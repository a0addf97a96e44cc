/** What several generators yield, as it comes. If one fails, `stop` is aborted, and the others are ended. */
export async function* merge<T>(
  sources: readonly AsyncGenerator<T, void, void>[],
  stop: AbortController,
): AsyncGenerator<T, void, void> {
  const step = (source: AsyncGenerator<T, void, void>) => {
    const next = source.next().then((result) => ({ source, result }));
    next.catch(() => {}); // whoever listens may leave ahead of it, and a rejection that nobody sees ends the process
    return next;
  };
  const pending = new Map(sources.map((source) => [source, step(source)]));
  try {
    while (pending.size > 0) {
      const { source, result } = await Promise.race(pending.values());
      if (result.done) pending.delete(source);
      else {
        pending.set(source, step(source));
        yield result.value;
      }
    }
  } finally {
    if (pending.size > 0) stop.abort(new DOMException("another choice has failed", "AbortError"));
    await Promise.allSettled([...pending.keys()].map((source) => source.return()));
  }
}
