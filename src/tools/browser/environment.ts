import type { BrowserBackend } from "./backend.ts";
import { exa } from "./exa.ts";
import { searxng } from "./searxng.ts";
import { you } from "./you.ts";

/**
 * The back end that environment variables name: SEARXNG_URL, else EXA_API_KEY, else YDC_API_KEY (You.com); undefined without
 * any of them.
 */
export function backendFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): BrowserBackend | undefined {
  const { SEARXNG_URL, EXA_API_KEY, YDC_API_KEY } = env;
  if (SEARXNG_URL) return searxng({ url: SEARXNG_URL });
  if (EXA_API_KEY) return exa({ apiKey: EXA_API_KEY });
  if (YDC_API_KEY) return you({ apiKey: YDC_API_KEY });
  return undefined;
}
