import { Served } from "./child.ts";
import { type Client, eventsOf } from "./client.ts";
import { type Finding, type Ids, idsOf, inParallel, quantile, type Settings, shown } from "./report.ts";

/** How often faster many clients have to be together than one alone. */
const TARGET = 3;
/** Streams, one after the other, of each client in a round. */
const STREAMS = 2;

/**
 * One client and many take turns, round by round; ratios are taken within a round, since what a shared machine gives changes
 * from minute to minute. Rates are of all tokens from the first request to the last token.
 */
export async function throughput(settings: Settings): Promise<Finding> {
  const { serve, chats, clients, rounds } = settings;
  await using server = await Served.start(serve);
  const { client } = server;
  const faults: string[] = [];
  let question = 0;
  const stream = chats ? (i: number) => chat(client, i) : (i: number) => complete(client, i, settings.ids);
  let failed = 0;
  const round = async (count: number, streams: number) => {
    const firsts: number[] = [];
    let tokens = 0;
    const { cpuSeconds: before } = await server.usage();
    const start = performance.now();
    await inParallel(count, count * streams, async () => {
      const answer = await stream(question++);
      const usage = eventsOf(answer.text).at(-1)?.["usage"] as { completion_tokens: number } | undefined;
      if (answer.status !== 200 || !answer.whole || !usage) {
        failed++;
        faults.push(`a stream failed: ${answer.status} ${answer.text.slice(-300)}`);
      }
      tokens += usage?.completion_tokens ?? 0;
      firsts.push(answer.firstMs);
    });
    const rate = (tokens * 1000) / (performance.now() - start);
    return { rate, firsts, cpu: ((await server.usage()).cpuSeconds - before) / tokens };
  };

  const results = [1, clients].map((count) => ({
    count,
    rates: [] as number[],
    firsts: [] as number[],
    cpus: [] as number[],
  }));
  const start = performance.now();
  for (const { count } of results) await round(count, 1); // warms up
  for (let i = 0, took = 0; i < rounds; i++) {
    const begin = performance.now();
    if (i > 0 && begin - start + took > settings.seconds * 1000) break;
    for (const { count, rates, firsts, cpus } of results) {
      const measured = await round(count, STREAMS);
      rates.push(measured.rate);
      cpus.push(measured.cpu * 1000);
      firsts.push(...measured.firsts);
    }
    took = performance.now() - begin;
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
      `ratio: ${shown(ratios)}, by processor time ${shown(one.cpus.map((cpu, i) => cpu / many.cpus[i]!))}, in ${ratios.length} rounds; ${failed} of ${question} streams failed`,
    ],
    faults: [...new Set(faults)].slice(0, 20),
  };
}

const STREAM = { stream: true, stream_options: { include_usage: true }, temperature: 1 };

function chat(client: Client, i: number) {
  const content = `What is ${(i * 37) % 90} + ${(i * 53) % 90}?`;
  const body = { ...STREAM, messages: [{ role: "user", content }], seed: i };
  return client.create("chat/completions", body, { firstWhen: (text) => text.includes('"reasoning":"') });
}

function complete(client: Client, i: number, ids: Ids) {
  const body = { ...STREAM, prompt: idsOf(i, ids), max_tokens: ids.answer, seed: i };
  return client.create("completions", body, { firstWhen: (text) => /"token_ids":\[\d/.test(text) });
}
