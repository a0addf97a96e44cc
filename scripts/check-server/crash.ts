import { Served } from "./child.ts";
import { eventsOf } from "./client.ts";
import type { Finding, Settings } from "./report.ts";

const KILLS = 3;
const ACKNOWLEDGED = 24;

interface Stored {
  readonly id: string;
  readonly status: string;
  readonly output: unknown;
}

/** Kills the server in the midst of stored responses, and looks at what its next run has of them. */
export async function crash({ serve, clients }: Settings, store: string): Promise<Finding> {
  const args = [...serve, "--context", "512", "--store", store];
  const faults: string[] = [];
  /** Responses that clients were given whole. */
  const whole = new Map<string, Stored>();
  /** Responses that clients know to have begun. */
  const begun = new Set<string>();
  let looked = 0;
  for (let kill = 0; kill <= KILLS; kill++) {
    await using server = await Served.start(args);
    const { client } = server;
    const ids = [...new Set([...whole.keys(), ...begun])];
    for (const id of ids) {
      const { status, text } = await client.send(`/v1/responses/${id}`);
      const known = whole.get(id);
      const found = JSON.parse(text) as Stored;
      looked++;
      if (status !== 200) faults.push(`${known ? "an acknowledged" : "a begun"} response is lost`);
      else if (known && JSON.stringify(known.output) !== JSON.stringify(found.output))
        faults.push(`a response comes back changed`);
      else if (found.status === "in_progress" || found.status === "queued")
        faults.push(`a response whose server is dead is ${found.status}`);
      const items = await client.send(`/v1/responses/${id}/input_items`);
      if (items.status !== 200 || JSON.parse(items.text).data.length !== 1)
        faults.push("a response has lost its input");
    }
    if (kill === KILLS) break;

    const target = whole.size + ACKNOWLEDGED;
    const work = async (i: number): Promise<void> => {
      for (;;) {
        const body = { input: `What is ${i} + ${whole.size}?`, max_output_tokens: 8 };
        if (i % 3 === 0) {
          let answer = await client.create("responses", { ...body, background: true });
          const { id } = JSON.parse(answer.text) as Stored;
          begun.add(id);
          while (/^(queued|in_progress)$/.test((JSON.parse(answer.text) as Stored).status)) {
            await new Promise((resolve) => setTimeout(resolve, 100));
            answer = await client.send(`/v1/responses/${id}`);
          }
        } else if (i % 3 === 1) {
          const { text } = await client.create("responses", { ...body, stream: true });
          const events = eventsOf(text) as { response?: Stored }[];
          const first = events[0]?.response;
          const last = events.at(-1)?.response;
          if (first) begun.add(first.id);
          if (last && last.status !== "in_progress") whole.set(last.id, last);
        } else {
          const answer = await client.create("responses", body);
          if (!answer.whole) return;
          const response = JSON.parse(answer.text) as Stored;
          whole.set(response.id, response);
        }
        if (whole.size >= target) server.kill("SIGKILL");
      }
    };
    await Promise.allSettled(Array.from({ length: clients }, (_, i) => work(i)));
  }
  return {
    lines: [
      `${KILLS} times killed; ${whole.size} responses acknowledged, ${begun.size - [...begun].filter((id) => whole.has(id)).length} others begun; ${looked} times retrieved afterwards`,
    ],
    faults: [...new Set(faults)],
  };
}
