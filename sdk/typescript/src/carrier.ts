// What the head of an HTTP request says of the messages in its body.

import { AsyncLocalStorage } from "node:async_hooks";

import type { Attributes } from "@opentelemetry/api";

import { remote } from "./call.js";
import type { Carrier } from "./observer.js";
import { redaction, semconv } from "./tables.js";

// The request headers worth keeping. A list of what may pass rather than of what may not: any other can be a credential.
const KEPT_HEADERS = [
  "accept", "cf-ipcountry", "cloudfront-viewer-country", "content-type", "forwarded", "host", "mcp-protocol-version", "origin",
  "x-forwarded-for", "x-real-ip", "x-vercel-ip-country",
];

/** What the socket knows of an HTTP request. */
export interface Peer {
  address?: string | undefined;
  port?: number | undefined;
  version?: string | undefined;
}

/** The peer of the request that is being handled, where the server is one of Node.js. */
export const currentPeer = new AsyncLocalStorage<Peer>();

/** Its scheme and the first characters: ten at most, and no more than a third of a credential. */
export function maskAuthorization(given: string): string {
  const value = given.trim();
  const characters = [...value];
  if (value.endsWith("…") && characters.length <= 11) return value;
  const space = characters.findIndex((character) => character === " " || character === "\t");
  if (space < 0 && redaction.schemes.includes(value.toLowerCase())) return value;
  const credential = characters.length - space - 1;
  const length = Math.min(10, space + 1 + Math.floor(credential / 3));
  return characters.slice(0, length).join("") + (length < characters.length ? "…" : "");
}

export function carrierOf(request: Request, peer: Peer | undefined): Carrier {
  const headers = Object.fromEntries(request.headers);
  const attributes: Attributes = {
    [semconv.NETWORK_TRANSPORT]: "tcp",
    [semconv.NETWORK_PROTOCOL_NAME]: "http",
    [semconv.HTTP_REQUEST_METHOD]: request.method,
  };
  const add = (key: string, value: string | number | undefined) => { if (value !== undefined) attributes[key] = value; };
  add(semconv.NETWORK_PROTOCOL_VERSION, peer?.version);
  add(semconv.CLIENT_ADDRESS, peer?.address);
  add(semconv.CLIENT_PORT, peer?.port);
  add(semconv.USER_AGENT_ORIGINAL, headers["user-agent"]);
  const authorization = headers["authorization"];
  if (authorization !== undefined) attributes[semconv.AUTHORIZATION] = maskAuthorization(authorization);
  for (const name of KEPT_HEADERS) {
    const value = headers[name];
    if (value === undefined) continue;
    attributes[semconv.HTTP_REQUEST_HEADER_PREFIX + name] = [value];
  }
  return { attributes, session: headers["mcp-session-id"], version: headers["mcp-protocol-version"], headerParent: remote(headers), headers, isHttp: true };
}
