import { SingleBar } from "cli-progress";

/** Smaller models are there before a bar could be read. */
const WORTH_A_BAR = 2 ** 28;

/** A progress bar on stderr for as long as a model loads, or is written; none where stderr isn't a terminal. */
export function loadProgress(doing = "loading"): (done: number, total: number) => void {
  let bar: SingleBar | undefined;
  const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(2);
  return (done, total) => {
    if (total < WORTH_A_BAR || !process.stderr.isTTY) return;
    if (bar === undefined) {
      const format = "{doing} {bar} {percentage}% of {size} GB, {eta_formatted} left";
      bar = new SingleBar({
        format,
        clearOnComplete: true,
        hideCursor: true,
        stream: process.stderr,
        etaBuffer: 50,
      });
      bar.start(total, 0, { doing, size: gigabytes(total) });
    }
    bar.update(Math.min(done, total));
    if (done >= total) bar.stop();
  };
}
