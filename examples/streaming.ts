/**
 * Token by token, with the reasoning told apart from the answer. `chat` is the layer below the agent: you give it all
 * messages each time, and it gives every token, with the channel that it belongs to.
 *
 *     npx tsx examples/streaming.ts [MODEL]
 */
import { chat, load } from "gpt-oss-ts";
import { type Message, systemMessage } from "gpt-oss-ts/harmony";

const DIM = "\x1b[2m";
const PLAIN = "\x1b[0m";

await using model = await load(process.argv[2] ?? "golden/small");
const messages: Message[] = [
  systemMessage({ reasoningEffort: "high" }),
  { role: "user", content: "Which is larger, 347 or 352?" },
];

for await (const { header, delta, message, finishReason } of chat(model, messages, { maxTokens: 1000 })) {
  if (delta) process.stdout.write(header?.channel === "analysis" ? DIM + delta + PLAIN : delta);
  if (message) {
    messages.push(message); // for a next turn
    console.log(`\n[end of ${message.channel}]`);
  }
  if (finishReason) console.log(`why it ended: ${finishReason}`);
}
