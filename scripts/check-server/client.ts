import { Agent, request } from "node:http";
import { connect } from "node:net";

export interface Answer {
  readonly status: number;
  /** All that came; of a stream, its events. */
  readonly text: string;
  /** Whether the response came to its end. */
  readonly whole: boolean;
  /** Milliseconds to the first part of the body, or until `firstWhen` held. */
  readonly firstMs: number;
}

export interface SendOptions {
  readonly method?: string;
  readonly body?: unknown;
  /** Hangs up once the body so far satisfies this. */
  readonly cutWhen?: (text: string) => boolean;
  readonly firstWhen?: (text: string) => boolean;
}

/** An HTTP client that costs little beside the server, and can misbehave. */
export class Client {
  readonly model: string;
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(url: string, model: string) {
    this.#url = url;
    this.model = model;
  }

  /** Rejects where no response begins. */
  send(path: string, { method, body, cutWhen, firstWhen = () => true }: SendOptions = {}): Promise<Answer> {
    const start = performance.now();
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { "content-type": "application/json" };
      const options = {
        method: method ?? (body === undefined ? "GET" : "POST"),
        headers,
        agent: this.#agent,
      };
      const sent = request(this.#url + path, options, (response) => {
        let [text, firstMs] = ["", 0];
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
          if (firstMs === 0 && firstWhen(text)) firstMs = performance.now() - start;
          if (cutWhen?.(text)) response.destroy();
        });
        response.on("error", () => {}); // `close` follows
        response.on("close", () =>
          resolve({ status: response.statusCode!, text, whole: response.complete, firstMs }),
        );
      });
      sent.on("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** A generation; `model` is filled in. */
  create(path: string, body: object, options: SendOptions = {}): Promise<Answer> {
    return this.send(`/v1/${path}`, { ...options, body: { model: this.model, ...body } });
  }

  /** Promises more of a body than it sends, then hangs up. */
  sendHalf(path: string): Promise<void> {
    const { hostname, port, host } = new URL(this.#url);
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, () => {
        socket.write(
          `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{"model": "`,
          () => setTimeout(() => socket.destroy(), 5),
        );
      });
      socket.on("error", reject);
      socket.on("close", () => resolve());
    });
  }

  /** The values of `/metrics`, by name and labels. */
  async metrics(): Promise<Map<string, number>> {
    const { text } = await this.send("/metrics");
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    return new Map(lines.map((line) => [line.replace(/ \S+$/, ""), Number(/\S+$/.exec(line)![0])]));
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The data of a stream's events, without `[DONE]`. */
export function eventsOf(text: string): Record<string, unknown>[] {
  return [...text.matchAll(/^data: (\{.*\})$/gm)].map(([, json]) => JSON.parse(json!));
}
