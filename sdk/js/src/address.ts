// Where a request comes from.

import { BlockList, isIP } from "node:net";

/**
 * The address in the one form the server stores, or undefined if it is none: without port, brackets
 * and zone, and IPv4 out of its IPv6 wrapping (`::ffff:192.0.2.1`).
 */
export function parseAddress(text: string): string | undefined {
  let address = text.trim();
  const bracketed = /^\[([^\]]*)\](?::\d{1,5})?$/.exec(address);
  if (bracketed) address = bracketed[1] ?? "";
  else if (/^[\d.]+:\d{1,5}$/.test(address)) address = address.slice(0, address.indexOf(":"));
  address = address.replace(/%[^%]*$/, "");
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined && isIP(mapped) === 4) return mapped;
  return isIP(address) ? address : undefined;
}

export type TrustProxy = boolean | string | string[] | undefined;

/** Finds the client's address behind the proxies one trusts. */
export class AddressFinder {
  private readonly trusted: BlockList | boolean;

  constructor(trustProxy: TrustProxy) {
    this.trusted = typeof trustProxy === "boolean" ? trustProxy : blockListOf(trustProxy);
  }

  /**
   * The address as it was told: it may be one that cannot be parsed. `peer` is who the connection
   * is from, undefined where the framework does not say; `forwarded` is `X-Forwarded-For`.
   *
   * Whoever connects can write anything into the header's left; only what trusted proxies appended
   * on its right is true. So it is read from the right, up to the first address that is not theirs.
   */
  find(peer: string | undefined, forwarded: string | undefined): string | undefined {
    if (this.trusted === false || forwarded === undefined) return peer;
    if (peer !== undefined && this.trusted !== true && !this.trusts(peer)) return peer;
    const hops = forwarded
      .split(",")
      .map((hop) => hop.trim())
      .filter((hop) => hop !== "");
    let nearest = peer;
    for (const hop of hops.reverse()) {
      nearest = hop;
      if (!this.trusts(hop)) break;
    }
    return nearest;
  }

  private trusts(text: string): boolean {
    if (typeof this.trusted === "boolean") return false;
    const address = parseAddress(text);
    return address !== undefined && this.trusted.check(address, familyOf(address));
  }
}

function blockListOf(trustProxy: string | string[] | undefined): BlockList | false {
  const ranges = typeof trustProxy === "string" ? trustProxy.split(",") : (trustProxy ?? []);
  if (ranges.length === 0) return false;
  const list = new BlockList();
  for (const range of ranges) addRange(list, range.trim());
  return list;
}

function addRange(list: BlockList, range: string): void {
  const [, text = "", bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(range) ?? [];
  const address = parseAddress(text);
  const most = address !== undefined && familyOf(address) === "ipv4" ? 32 : 128;
  const prefix = bits === undefined ? most : Number(bits);
  if (address === undefined || prefix > most) {
    throw new TypeError(`trustProxy: "${range}" is no address and no CIDR range`);
  }
  list.addSubnet(address, prefix, familyOf(address));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 4 ? "ipv4" : "ipv6";
}
