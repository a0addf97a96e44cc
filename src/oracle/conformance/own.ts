import type { Tensor } from "../../engine/ops.ts";
import { parseMessages } from "../../harmony/parse.ts";
import { renderConversation } from "../../harmony/render.ts";
import { BROWSER, PYTHON } from "../../harmony/tools.ts";
import type { Transformer } from "../../model/transformer.ts";
import type { Tokenizer } from "../../tokenizer/index.ts";
import { trace } from "../trace.ts";
import type { LogitRows, Runtime, RuntimeSession } from "./runtime.ts";

/** This package as a runtime of the suite: golden/model in one of its engines. */
export function modelRuntime(transformer: Transformer): Runtime {
  const rows = (logits: Tensor): LogitRows => {
    const { shape, data } = transformer.ops.read(logits);
    const vocab = shape[1]!;
    return Array.from({ length: shape[0]! }, (_, t) => data.slice(t * vocab, (t + 1) * vocab));
  };
  const logits = async (ids: readonly number[]): Promise<LogitRows> => {
    using cache = transformer.createCache();
    return rows(await transformer.forward(ids, cache));
  };
  return {
    logits,
    trace: (ids) => trace(transformer, ids),
    batch: (prompts) => Promise.all(prompts.map(logits)), // sequences that wait at the same time share a pass
    open(): RuntimeSession {
      const cache = transformer.createCache();
      const seen: number[] = [];
      return {
        async feed(ids) {
          seen.push(...ids);
          return rows(await transformer.forward(ids, cache));
        },
        async truncate(tokens) {
          seen.length = tokens;
          const kept = await cache.rewind(tokens); // rings may have gone on: then as far as is left, and the rest again
          if (kept < tokens) await transformer.forward(seen.slice(kept), cache);
        },
        close: () => cache[Symbol.dispose](),
      };
    },
  };
}

/** This package's tokenizer and Harmony as a runtime of the suite. */
export function textRuntime(tokenizer: Tokenizer): Runtime {
  return {
    encode: (text) => tokenizer.encode(text),
    decode: (ids) => tokenizer.decode(ids),
    render: (messages, options) => renderConversation(tokenizer, messages.map(withBuiltIns), options),
    parse: (ids, role) => parseMessages(tokenizer, ids, role === null ? {} : { role }),
  };
}

/** The goldens name built-in tools and leave their texts to the runtime. */
function withBuiltIns<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (_, part: unknown) => {
    const { name, tools } = (part ?? {}) as { name?: unknown; tools?: unknown };
    return tools === null ? (name === "browser" ? BROWSER : PYTHON) : part;
  }) as T;
}
