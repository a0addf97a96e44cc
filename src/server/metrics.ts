import { Hono } from "hono";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { PrefixCache } from "../generation/prefix-cache.ts";
import type { Admission } from "./admission.ts";
import type { ServerContext, ServerEnv } from "./context.ts";

/** What an operator can watch, in Prometheus's text format. */
export class Metrics {
  readonly registry: Registry = new Registry();
  readonly requests: Counter<"route" | "status"> = new Counter({
    name: "gpt_oss_requests_total",
    help: "Requests that were answered",
    labelNames: ["route", "status"],
    registers: [this.registry],
  });
  /** Tokens by kind: prompt (all of it), cached (the part of it that wasn't computed again), generated. */
  readonly tokens: Counter<"kind"> = new Counter({
    name: "gpt_oss_tokens_total",
    help: "Tokens of prompts, those of them that a cache had, and tokens generated",
    labelNames: ["kind"],
    registers: [this.registry],
  });
  readonly firstToken: Histogram = new Histogram({
    name: "gpt_oss_time_to_first_token_seconds",
    help: "From a request's arrival to its first token",
    buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100],
    registers: [this.registry],
  });
  readonly tokenLatency: Histogram = new Histogram({
    name: "gpt_oss_token_latency_seconds",
    help: "Between two tokens of a generation",
    buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
    registers: [this.registry],
  });

  constructor(admission: Admission, prefixes?: Pick<PrefixCache, "bytes" | "sequences">) {
    const gauge = (name: string, help: string, read: () => number): Gauge =>
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect: function () {
          this.set(read());
        },
      });
    gauge("gpt_oss_running", "Generations under way", () => admission.running);
    gauge("gpt_oss_queued", "Generations that wait for their turn", () => admission.queued);
    if (!prefixes) return;
    gauge("gpt_oss_prefix_cache_bytes", "Keys and values that are held", () => prefixes.bytes);
    gauge("gpt_oss_prefix_cache_sequences", "Sequences that they belong to", () => prefixes.sequences);
  }
}

export function metricsRoutes({ metrics: { registry } }: ServerContext): Hono<ServerEnv> {
  return new Hono<ServerEnv>().get("/metrics", async (c) =>
    c.body(await registry.metrics(), 200, { "content-type": registry.contentType }),
  );
}
