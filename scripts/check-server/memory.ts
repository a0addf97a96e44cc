import { Served } from "./child.ts";
import { type Client, eventsOf } from "./client.ts";
import { growth, readObjects } from "./heap.ts";
import { type Finding, inParallel, megabytes, type Settings } from "./report.ts";

/** Bytes that a request may leave behind on average, in objects and outside the heap: of one kind among seventeen, one small object. */
const LEFT_PER_REQUEST = 4;
/** Requests that objects are counted by. */
const COUNTED = 2500;
const RSS_GROWTH = 0.05;
const SAMPLES = 40;

/**
 * Thousands of small requests of every kind, good and bad, some cut off: what the server holds has to stay the same. Resident
 * memory is told by a line through the second half; objects by snapshots of the heap ahead of and behind some further requests,
 * since a snapshot adds to resident memory.
 */
export async function memory({ serve, clients, requests }: Settings, folder: string): Promise<Finding> {
  const budget = 8 * 2 ** 20;
  const args = [
    ...serve,
    "--context",
    "512",
    "--prefix-cache",
    String(budget),
    "--store",
    `${folder}/memory.db`,
  ];
  await using server = await Served.start(args);
  const { client } = server;
  const faults: string[] = [];
  const statuses = new Map<number, number>();
  const samples: { done: number; rss: number; heap: number; other: number }[] = [];
  const sample = async (done: number): Promise<void> => {
    const { rss, heapUsed, external } = await server.memory();
    samples.push({ done, rss, heap: heapUsed, other: external });
    const sizes = [rss, heapUsed, external].map(megabytes).join(", ");
    if (process.stderr.isTTY)
      process.stderr.write(`\r${done} requests: ${sizes} resident, in the heap, outside it\x1b[K`);
  };

  await sample(0);
  const start = performance.now();
  const step = Math.ceil(requests / SAMPLES);
  let done = 0;
  const work = async (count: number): Promise<void> => {
    await inParallel(clients, count, async (i) => {
      const [name, expected, work] = KINDS[(done + i) % KINDS.length]!;
      const status = await work(client, done + i);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status !== expected) faults.push(`${name}: status ${status} instead of ${expected}`);
    });
    done += count;
  };
  while (done < requests) {
    await work(Math.min(step, requests - done));
    await sample(done);
  }
  const before = await readObjects(await server.snapshot(`${folder}/before`));
  await work(COUNTED);
  const left = growth(before, await readObjects(await server.snapshot(`${folder}/after`)));
  const seconds = (performance.now() - start) / 1000;

  const metrics = await client.metrics();
  const cached = metrics.get("gpt_oss_prefix_cache_bytes") ?? Number.NaN;
  const running = metrics.get("gpt_oss_running");
  const half = samples.slice(samples.length / 2);
  const [rss, other] = (["rss", "other"] as const).map((key) =>
    slope(half.map((each) => [each.done, each[key]])),
  ) as [number, number];
  const rise = (rss * requests) / 2 / samples.at(-1)!.rss;
  const each = left.bytes / COUNTED;
  if (rise > RSS_GROWTH)
    faults.push(`resident memory grows by ${(100 * rise).toFixed(1)} % in the second half`);
  if (each > LEFT_PER_REQUEST)
    faults.push(`each request leaves ${each.toFixed(1)} bytes of objects in the heap: ${left.most}`);
  if (other > LEFT_PER_REQUEST) faults.push(`each request leaves ${other.toFixed(1)} bytes outside the heap`);
  if (!(cached <= budget))
    faults.push(`the prefix cache holds ${cached} bytes, beyond its budget of ${budget}`);
  if (running !== 0) faults.push(`${running} generations are left over`);
  const at = (key: "rss" | "heap"): string =>
    [samples[0]!, half[0]!, samples.at(-1)!].map((each) => megabytes(each[key])).join(", ");
  return {
    lines: [
      `${done} requests in ${seconds.toFixed(0)} s, by status: ${[...statuses].map((pair) => pair.join(" × ")).join(", ")}`,
      `resident at the start, after half, at the end: ${at("rss")}; ${(100 * rise).toFixed(1)} % in the second half, by a linear fit`,
      `JavaScript heap, compiled code included: ${at("heap")}; outside it ${other.toFixed(1)} bytes a request`,
      `objects in the heap: ${left.bytes} bytes more after ${COUNTED} further requests, ${each.toFixed(2)} a request: ${left.most}`,
      `prefix cache: ${megabytes(cached)} of ${megabytes(budget)} in ${metrics.get("gpt_oss_prefix_cache_sequences")} sequences; ${running} generations left`,
    ],
    faults: [...new Set(faults)].slice(0, 20),
  };
}

/** What a line through the points climbs by, by least squares. */
function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const up = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  return up / points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}

type Kind = readonly [name: string, status: number, work: (client: Client, i: number) => Promise<number>];

/** Status of a request whose answer nobody waited for. */
const CUT = 0;
const few = { max_tokens: 4 };
const hello = (i: number) => ({ ...few, messages: [{ role: "user", content: `Hello ${i}` }], seed: i });
const respond = (i: number) => ({ input: `Hello ${i}`, max_output_tokens: 4, seed: i });
const status = async (answer: Promise<{ status: number; whole: boolean }>): Promise<number> => {
  const { status, whole } = await answer;
  return whole ? status : CUT;
};

const KINDS: readonly Kind[] = [
  ["chat", 200, (client, i) => status(client.create("chat/completions", hello(i)))],
  [
    "chat stream",
    200,
    (client, i) => status(client.create("chat/completions", { ...hello(i), stream: true })),
  ],
  [
    "chat stream, cut",
    CUT,
    (client, i) =>
      status(
        client.create(
          "chat/completions",
          { ...hello(i), max_tokens: 300, stream: true },
          { cutWhen: (text) => text.length > 600 },
        ),
      ),
  ],
  [
    "two choices with log-probabilities",
    200,
    (client, i) =>
      status(client.create("chat/completions", { ...hello(i), n: 2, logprobs: true, top_logprobs: 3 })),
  ],
  [
    "chat held to a schema",
    200,
    (client, i) =>
      status(
        client.create("chat/completions", {
          ...hello(i),
          response_format: {
            type: "json_schema",
            json_schema: {
              name: "n",
              schema: { type: "object", properties: { [`n${i % 50}`]: { type: "integer" } } },
            },
          },
        }),
      ),
  ],
  [
    "completion of ids",
    200,
    (client, i) =>
      status(
        client.create("completions", { ...few, prompt: [1 + (i % 1000), 7, 9], echo: true, logprobs: 2 }),
      ),
  ],
  ["response", 200, (client, i) => status(client.create("responses", { ...respond(i), store: false }))],
  [
    "response stream, cut",
    CUT,
    (client, i) =>
      status(
        client.create(
          "responses",
          { ...respond(i), max_output_tokens: 300, stream: true },
          { cutWhen: (text) => text.includes(".delta") },
        ),
      ),
  ],
  [
    "stored, gone on with, retrieved, deleted",
    200,
    async (client, i) => {
      const first = await client.create("responses", respond(i));
      if (first.status !== 200) return first.status;
      const id = JSON.parse(first.text).id;
      const second = await client.create("responses", {
        ...respond(i),
        previous_response_id: id,
        stream: true,
      });
      const last = eventsOf(second.text).at(-1) as { response: { id: string } };
      const items = await client.send(`/v1/responses/${last.response.id}/input_items`);
      if (items.status !== 200) return items.status;
      return status(client.send(`/v1/responses/${id}`, { method: "DELETE" }));
    },
  ],
  [
    "background, cancelled",
    200,
    async (client, i) => {
      const { text } = await client.create("responses", {
        ...respond(i),
        background: true,
        max_output_tokens: 300,
      });
      return status(client.send(`/v1/responses/${JSON.parse(text).id}/cancel`, { method: "POST" }));
    },
  ],
  [
    "background stream, left and cancelled",
    200,
    async (client, i) => {
      const { text } = await client.create(
        "responses",
        { ...respond(i), background: true, stream: true, max_output_tokens: 300 },
        { cutWhen: (text) => text.includes("in_progress") },
      );
      const id = /resp_\w+/.exec(text)![0];
      return status(client.send(`/v1/responses/${id}/cancel`, { method: "POST" }));
    },
  ],
  ["models", 200, (client) => status(client.send("/v1/models"))],
  ["health", 200, (client) => status(client.send("/health"))],
  ["metrics", 200, (client) => status(client.send("/metrics"))],
  ["nothing there", 404, (client, i) => status(client.send(`/v1/${i}`))],
  [
    "a message without role",
    400,
    (client, i) => status(client.create("chat/completions", { messages: [{ content: `${i}` }] })),
  ],
  ["half a body", CUT, (client) => client.sendHalf("/v1/chat/completions").then(() => CUT)],
];
