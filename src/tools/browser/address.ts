/*
 * Which addresses a page may be fetched from. Pages and models name addresses as they like: without these rules one could
 * make the browser read what only this machine or its network can reach.
 */

/** Public, but a cloud's own: Azure's metadata and DHCP server. */
const RESERVED = new Set(["168.63.129.16"]);
const PORTS = new Set(["", "80", "443", "8080", "8443"]);
/** Names that mean this machine or its network. */
const PRIVATE_NAME = /(?:^|\.)(?:localhost|local|localdomain|internal|intranet|lan|home|corp|home\.arpa)$/;

/**
 * Whether an IP address belongs to the public internet. Loopback, private, link-local, shared (CGNAT), multicast, reserved
 * and documentation ranges don't, nor does any form of IPv6 that carries an IPv4 address (mapped, 6to4, NAT64, Teredo).
 */
export async function isPublicAddress(address: string): Promise<boolean> {
  const { default: ipaddr } = await import("ipaddr.js");
  const plain = address.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
  if (ipaddr.IPv4.isValidFourPartDecimal(plain)) {
    return ipaddr.IPv4.parse(plain).range() === "unicast" && !RESERVED.has(plain);
  }
  if (!ipaddr.IPv6.isValid(plain)) return false;
  const parsed = ipaddr.IPv6.parse(plain);
  // of all others, such as ::/96 with an IPv4 address inside, none is given out
  return parsed.range() === "unicast" && parsed.parts[0]! >= 0x2000 && parsed.parts[0]! <= 0x3fff;
}

/** Whether private addresses and all ports are let through: everywhere, or at these hosts, with port where it isn't the usual. */
export type AllowPrivate = boolean | readonly string[];

export function isAllowed(url: URL, allowPrivate: AllowPrivate): boolean {
  return typeof allowPrivate === "boolean" ? allowPrivate : allowPrivate.includes(url.host);
}

/**
 * The address as a URL, if a page may be fetched from it as far as its spelling tells: http or https, no user or password, a
 * usual port, and a host that is a public IP address or a name with a dot. Throws an Error for the model.
 */
export async function checkUrl(address: string, allowPrivate: AllowPrivate): Promise<URL> {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    throw new Error("not a valid URL; give a full address such as https://example.com/page");
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new Error(`only http and https addresses can be opened, not ${url.protocol.slice(0, 40)}`);
  }
  if (url.username || url.password) throw new Error("addresses with a user name or password can't be opened");
  if (isAllowed(url, allowPrivate)) return url;
  if (!PORTS.has(url.port)) throw new Error(`port ${url.port} can't be opened`);
  const host = url.hostname.replace(/\.+$/, "");
  const isLiteral = host.startsWith("[") || /^[\d.]+$/.test(host);
  const isPublic = isLiteral ? await isPublicAddress(host) : host.includes(".") && !PRIVATE_NAME.test(host);
  if (!isPublic) throw new Error(PRIVATE);
  return url;
}

export const PRIVATE = "private and local addresses can't be opened";
