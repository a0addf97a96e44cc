import { Served } from "./child.ts";
import { type Finding, idsOf, type Settings } from "./report.ts";

/** SIGTERM while every client has a stream: with time, all end well; without, all are told, and the process ends at once. */
export async function shutdown(settings: Settings): Promise<Finding> {
  const gentle = await stop(settings, 120);
  const hasty = await stop(settings, 0);
  const faults = [...gentle.faults, ...hasty.faults];
  if (gentle.finished < settings.clients)
    faults.push(`only ${gentle.finished} of ${settings.clients} streams ended`);
  if (hasty.finished + hasty.told < settings.clients) faults.push("a stream was cut without a word");
  return {
    lines: [
      `with time: ${gentle.finished} of ${settings.clients} streams ended well, process gone after ${gentle.seconds} s`,
      `without: ${hasty.finished} ended well, ${hasty.told} with an error, process gone after ${hasty.seconds} s`,
    ],
    faults,
  };
}

async function stop({ serve, chats, clients, ids }: Settings, grace: number) {
  await using server = await Served.start([...serve, "--grace", String(grace)]);
  const { client } = server;
  const faults: string[] = [];
  let begun = 0;
  const streams = Array.from({ length: clients }, (_, i) => {
    let first = true;
    const cutWhen = (): boolean => {
      if (first) begun++;
      first = false;
      return false;
    };
    const body = { stream: true, seed: i, max_tokens: chats ? 64 : ids.answer, temperature: 1 };
    return chats
      ? client.create(
          "chat/completions",
          { ...body, messages: [{ role: "user", content: `Count the letters of number ${i}` }] },
          { cutWhen },
        )
      : client.create("completions", { ...body, prompt: idsOf(i, ids) }, { cutWhen });
  });
  while (begun < clients) await new Promise((resolve) => setTimeout(resolve, 5));
  const start = performance.now();
  server.kill("SIGTERM");
  const answers = await Promise.all(streams);
  const late = await client.create("completions", { prompt: [1], max_tokens: 1 }).then(
    ({ status }) => status,
    () => 503, // nobody listens any more
  );
  if (late !== 503) faults.push(`a request after the signal had status ${late}`);
  const status = await server.exit;
  if (status !== 0) faults.push(`the process ended with ${status}`);
  return {
    finished: answers.filter(({ text, whole }) => whole && text.endsWith("data: [DONE]\n\n")).length,
    told: answers.filter(({ text, whole }) => whole && text.includes('"server_shutting_down"')).length,
    seconds: ((performance.now() - start) / 1000).toFixed(1),
    faults,
  };
}
