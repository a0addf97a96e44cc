import { Served } from "./child.ts";
import { type Client, eventsOf } from "./client.ts";
import { type Finding, inParallel, quantile, type Settings, shown } from "./report.ts";

/** How often faster many clients have to be together than one alone. */
const TARGET = 3;
/** Streams, one after the other, of each client in a round. */
const STREAMS = 2;
const IDS = { prompt: 32, answer: 24 };

/**
 * One client and many take turns, round by round; ratios are taken within a round, since what a shared machine gives changes
 * from minute to minute. Rates are of all tokens from the first request to the last token.
 */
export async function throughput({ serve, chats, clients, rounds }: Settings): Promise<Finding> {
  await using server = await Served.start(serve);
  const { client } = server;
  const faults: string[] = [];
  let question = 0;
  const stream = chats ? chat : complete;
  const round = async (count: number) => {
    const firsts: number[] = [];
    let tokens = 0;
    const before = await server.cpuSeconds();
    const start = performance.now();
    await inParallel(count, count * STREAMS, async () => {
      const answer = await stream(client, question++);
      const usage = eventsOf(answer.text).at(-1)?.["usage"] as { completion_tokens: number } | undefined;
      if (answer.status !== 200 || !answer.whole || !usage) faults.push(`a stream failed: ${answer.text}`);
      tokens += usage?.completion_tokens ?? 0;
      firsts.push(answer.firstMs);
    });
    const rate = (tokens * 1000) / (performance.now() - start);
    return { rate, firsts, cpu: ((await server.cpuSeconds()) - before) / tokens };
  };

  const results = [1, clients].map((count) => ({
    count,
    rates: [] as number[],
    firsts: [] as number[],
    cpus: [] as number[],
  }));
  for (let i = -1; i < rounds; i++) {
    for (const { count, rates, firsts, cpus } of results) {
      const measured = await round(count);
      if (i < 0) continue; // the first one warms up
      rates.push(measured.rate);
      cpus.push(measured.cpu * 1000);
      firsts.push(...measured.firsts);
    }
  }
  const [one, many] = results as [(typeof results)[0], (typeof results)[0]];
  const ratios = many.rates.map((rate, i) => rate / one.rates[i]!);
  if (quantile(ratios, 0.5) < TARGET)
    faults.push(`${clients} clients have less than ${TARGET} times what one has`);
  return {
    lines: [
      ...results.map(
        ({ count, rates, firsts, cpus }) =>
          `${count} ${count === 1 ? "client" : "clients"}: ${shown(rates)} tokens/s, first token after ` +
          `${quantile(firsts, 0.5).toFixed(0)} ms (p95 ${quantile(firsts, 0.95).toFixed(0)}), ` +
          `${shown(cpus)} ms of a processor a token`,
      ),
      `ratio: ${shown(ratios)}`,
    ],
    faults,
  };
}

const STREAM = { stream: true, stream_options: { include_usage: true }, temperature: 1 };

function chat(client: Client, i: number) {
  const content = `What is ${(i * 37) % 90} + ${(i * 53) % 90}?`;
  const body = { ...STREAM, messages: [{ role: "user", content }], seed: i };
  return client.create("chat/completions", body, { firstWhen: (text) => text.includes('"reasoning":"') });
}

function complete(client: Client, i: number) {
  const prompt = Array.from(
    { length: IDS.prompt },
    (_, at) => (Math.imul(at + 1, 0x9e3779b1 + i) >>> 8) % 200_000,
  );
  return client.create("completions", { ...STREAM, prompt, max_tokens: IDS.answer, seed: i });
}
