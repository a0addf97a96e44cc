import { lookup } from "node:dns/promises";
import { type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { isIP } from "node:net";
import { pipeline, type Readable } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { orAborted } from "../arguments.ts";
import { isPublicAddress, PRIVATE } from "./address.ts";
import type { Transport } from "./web.ts";

/** A host's addresses are tried in turn, up to so many. */
const MAX_TRIES = 4;

/**
 * Requests over node:http. The name is resolved and its addresses checked here, and the connection goes to a checked address,
 * so that a name server that answers twice differently (DNS rebinding) gains nothing.
 */
export const nodeTransport: Transport = async (url, { headers, allowPrivate, signal }) => {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const addresses = isIP(host) ? [{ address: host }] : await orAborted(lookup(host, { all: true }), signal);
  if (!allowPrivate) {
    for (const { address } of addresses) if (!(await isPublicAddress(address))) throw new Error(PRIVATE);
  }
  let failure: unknown = new Error("the host has no address");
  for (const { address } of addresses.slice(0, MAX_TRIES)) {
    signal.throwIfAborted();
    try {
      const response = await send(url, host, address, headers, signal);
      return {
        url,
        status: response.statusCode ?? 0,
        header: (name) => {
          const value = response.headers[name];
          return Array.isArray(value) ? value[0] : value;
        },
        body: decoded(response),
        close: () => void response.destroy(),
      };
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
};

function send(
  url: URL,
  host: string,
  address: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const isSecure = url.protocol === "https:";
  return new Promise((resolve, reject) => {
    const request = (isSecure ? requestHttps : requestHttp)({
      host: address,
      port: url.port || (isSecure ? 443 : 80),
      path: url.pathname + url.search,
      headers: { ...headers, host: url.host },
      // the certificate must be the name's, not the address's
      ...(isSecure && !isIP(host) && { servername: host }),
      agent: false,
      signal,
    });
    request.on("response", resolve).on("error", reject).end();
  });
}

/** The body as it was before compression. */
function decoded(response: IncomingMessage): Readable {
  const encoding = (response.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  if (encoding === "identity" || encoding === "") return response;
  const decoders = {
    gzip: createGunzip,
    "x-gzip": createGunzip,
    br: createBrotliDecompress,
    deflate: createInflate,
  };
  if (!Object.hasOwn(decoders, encoding)) {
    response.destroy();
    throw new Error("the page is compressed in an unknown way");
  }
  const decoder = decoders[encoding as keyof typeof decoders]();
  // errors reach whoever reads the decoder
  pipeline(response, decoder, () => {});
  return decoder;
}
