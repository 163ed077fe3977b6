import type { CallDetailQuery } from "../gql/graphql";

type Detail = NonNullable<CallDetailQuery["call"]>;

/** The request as a JSON-RPC message. Works on the text, so that large integers keep their digits. */
export function asJsonRpc(call: Pick<Detail, "requestId" | "method">, request: string | undefined): string {
  const body = request?.trim() ?? "";
  if (body.includes('"jsonrpc"') && isObject(body) && "jsonrpc" in JSON.parse(body)) return body;
  const id = call.requestId ?? "1";
  const head = `"jsonrpc":"2.0","id":${/^-?(0|[1-9]\d{0,17})$/.test(id) ? id : JSON.stringify(id)}`;
  if (!isObject(body)) return `{${head},"method":${JSON.stringify(call.method)}}`;
  const inner = body.slice(1).trimStart();
  return inner === "}" ? `{${head},"method":${JSON.stringify(call.method)}}` : `{${head},${inner}`;
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** A command that sends the request again. Where the server listens is known only where a span said it. */
export function asCurl(
  call: Pick<Detail, "requestId" | "method" | "sessionId" | "protocolVersion" | "target" | "attributes">,
  request: string | undefined,
): string {
  const headers = ["content-type: application/json", "accept: application/json, text/event-stream"];
  if (call.sessionId) headers.push(`mcp-session-id: ${call.sessionId}`);
  if (call.protocolVersion) headers.push(`mcp-protocol-version: ${call.protocolVersion}`);
  headers.push(`mcp-method: ${call.method}`);
  if (call.target) headers.push(`mcp-name: ${call.target}`);
  const lines = [
    `curl -sS ${address(call.attributes)}`,
    ...headers.map((header) => `  -H ${quoted(header)}`),
    `  --data-raw ${quoted(asJsonRpc(call, request))}`,
  ];
  return lines.join(" \\\n");
}

function address(attributes: unknown): string {
  const known = attributes as Record<string, unknown> | null;
  const url = known?.["url.full"];
  if (typeof url === "string" && /^https?:\/\//.test(url)) return quoted(url);
  const host = known?.["http.request.header.host"];
  const first: unknown = Array.isArray(host) ? host[0] : host;
  if (typeof first === "string" && /^[\w.:[\]-]+$/.test(first)) {
    const path = known?.["url.path"];
    return quoted(`http://${first}${typeof path === "string" ? path : "/mcp"}`);
  }
  return '"$MCP_URL"';
}

/** In single quotes for a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
