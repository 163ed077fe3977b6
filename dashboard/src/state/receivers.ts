import { useMemo } from "react";
import { ReceiversDocument, type ReceiversQuery } from "../gql/graphql";
import { useAsk } from "./asking";

/** Where a server sends its telemetry, each as `HOST:PORT`. */
export interface Receivers {
  http: string;
  grpc: string;
  /** Whether mcptap has said so. Else these are the defaults. */
  known: boolean;
  /** Whether senders that are told nothing send there: SDKs, the wrapper and the proxy on this machine. */
  isDefault: boolean;
  /** Whether only the machine that mcptap runs on reaches it, while the reader is elsewhere. */
  onlyThere: boolean;
}

const nothing = {};

/** Where this mcptap receives OTLP. `round`: another one asks anew, as it may have been started with other ports. */
export function useReceivers(round: number): Receivers {
  const { data } = useAsk(ReceiversDocument, nothing, round);
  return useMemo(() => receiversFor(location.hostname, data?.receivers), [data]);
}

/** The same as a reader sees it who opened the page by that name. */
export function receiversFor(name: string, bound: ReceiversQuery["receivers"] | undefined): Receivers {
  const isLocal = isLoopback(name) || name === "";
  const here = isLocal ? "127.0.0.1" : name;
  const http = bound?.otlpHttp ?? { host: here, port: 4318 };
  const grpc = bound?.otlpGrpc ?? { host: here, port: 4317 };
  const address = ({ host, port }: { host: string; port: number }) =>
    `${bracketed(isEverywhere(host) ? here : host)}:${port}`;
  return {
    http: address(http),
    grpc: address(grpc),
    known: bound != null,
    isDefault: address(http) === "127.0.0.1:4318",
    onlyThere: !isLocal && isLoopback(http.host),
  };
}

/** Whether a name or an address is that of the machine itself. */
function isLoopback(name: string): boolean {
  return /^(localhost|127\..*|\[?::1\]?)$/.test(name);
}

/** Whether what is bound there is reached by all addresses of its machine. */
function isEverywhere(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

/** An IPv6 address as URLs have it. */
function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}
