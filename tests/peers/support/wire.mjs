// What was said on the wire, and what the traffic log must therefore hold.

import { readFileSync } from "node:fs";

import { got, sent } from "./http_recorder.mjs";

/** The JSON-RPC messages of one direction of a pipe. */
export function lines(file) {
  const messages = [];
  for (const line of readFileSync(file, "utf8").split("\n")) {
    if (line.trim() === "") continue;
    const message = JSON.parse(line);
    messages.push(...(Array.isArray(message) ? message : [message]));
  }
  return messages;
}

/** The records of a conversation over a pipe. */
export function ofPipe(file) {
  return records(lines(`${file}.in`), lines(`${file}.out`), { transport: "STDIO" });
}

/** Pairs requests and answers, of one client and one server. */
export function records(fromClient, fromServer, known = {}) {
  const isRequest = (message) => message.method !== undefined && message.id !== undefined;
  const answer = (messages, id) => messages.find((message) => message.method === undefined && message.id === id);
  const cancelled = (messages, id) =>
    messages.some(({ method, params }) => method === "notifications/cancelled" && params.requestId === id);
  let handshake;
  const found = [];
  for (const request of fromClient.filter(isRequest)) {
    if (request.method === "initialize") handshake = request.params.clientInfo;
    const meta = request.params?._meta ?? {};
    const client = meta["io.modelcontextprotocol/clientInfo"] ?? handshake;
    const gaveUp = cancelled(fromClient, request.id);
    found.push({ ...known, ...record(request, gaveUp ? undefined : answer(fromServer, request.id), gaveUp, client) });
  }
  for (const request of fromServer.filter(isRequest)) {
    const gaveUp = cancelled(fromServer, request.id);
    found.push({ ...known, ...record(request, answer(fromClient, request.id), gaveUp, handshake) });
  }
  return found;
}

function record({ method, params, id }, answered, gaveUp, client) {
  return {
    method,
    target: target(method, params),
    requestId: String(id),
    clientName: client?.name ?? null,
    outcome: outcome(method, answered, gaveUp),
    rpcErrorCode: answered?.error?.code ?? null,
    request: params === undefined ? { method } : { method, params },
    response: answered?.error ? { error: answered.error } : (answered?.result ?? null),
  };
}

function target(method, params) {
  if (["tools/call", "prompts/get"].includes(method)) return params.name;
  if (["resources/read", "resources/subscribe", "resources/unsubscribe"].includes(method)) return params.uri;
  return null;
}

function outcome(method, answered, gaveUp) {
  if (gaveUp) return "CANCELLED";
  if (answered?.error) return "PROTOCOL_ERROR";
  if (answered?.result?.isError) return "TOOL_ERROR";
  if (answered?.result?.resultType === "input_required") return "INPUT_REQUIRED";
  // A stream that a client left has not failed.
  return answered || method === "subscriptions/listen" ? "OK" : "TRANSPORT_ERROR";
}

/** What a call of the log says, in the same words. */
export function logged(call) {
  return {
    transport: call.transport,
    method: call.method,
    target: call.target,
    requestId: call.requestId,
    clientName: call.clientName,
    outcome: call.outcome,
    rpcErrorCode: call.rpcErrorCode,
    request: call.request?.json ?? null,
    response: call.response?.json ?? null,
  };
}

/** Every record is there once, and nothing else is. A field that is undefined may be anything. */
export function assertSame(calls, expected) {
  const left = [...calls];
  const wrong = [];
  const differing = (call, record) =>
    Object.keys(record).filter((key) => record[key] !== undefined && JSON.stringify(call[key]) !== JSON.stringify(record[key]));
  const take = (fits) => {
    const at = left.findIndex(fits);
    return at < 0 ? undefined : left.splice(at, 1)[0];
  };
  const unmatched = expected.filter((record) => !take((call) => differing(call, record).length === 0));
  for (const record of unmatched) {
    const name = `${record.method} ${record.target ?? ""} (${record.requestId})`;
    const call = take((call) => call.method === record.method && call.requestId === record.requestId);
    if (!call) wrong.push(`${name} is not in the log: ${cut(record)}`);
    else for (const key of differing(call, record)) wrong.push(`${name}: ${key} is ${cut(call[key])}, not ${cut(record[key])}`);
  }
  wrong.push(...left.map((call) => `nobody asked for ${cut(call)}`));
  if (wrong.length > 0) throw new Error(wrong.slice(0, 20).join("\n"));
}

const cut = (value) => {
  const text = JSON.stringify(value) ?? "undefined";
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
};

// === over HTTP ===

/** The messages in a body: JSON, or a stream of events. */
function messages(type, text) {
  const parse = (json) => [JSON.parse(json)].flat();
  if (!type?.startsWith("text/event-stream")) return type?.startsWith("application/json") && text ? parse(text) : [];
  const events = text.split(/\r\n\r\n|\n\n/).slice(0, -1);
  return events.flatMap((event) => {
    const lines = event.split(/\r\n|\n/);
    if (lines.some((line) => line.startsWith("event:") && line.slice(6).trim() !== "message")) return [];
    const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\n");
    return data ? parse(data) : [];
  });
}

const header = (headers, name) => headers.find(([key]) => key === name)?.[1] ?? null;

/** The records of everything that one client and one server exchanged over HTTP. */
export function ofHttp(exchanges) {
  const transport = exchanges.some(({ url }) => url.startsWith("/sse")) ? "SSE" : "STREAMABLE_HTTP";
  const said = exchanges.map((exchange) => ({
    exchange,
    asked: messages(header(exchange.asked, "content-type"), sent(exchange)),
    answered: messages(header(exchange.answered, "content-type"), got(exchange)),
  }));
  const asked = said.flatMap(({ asked }) => asked);
  const answered = said.flatMap(({ answered }) => answered);
  const found = [];
  // An error without an id answers every request of the same POST.
  for (const { asked, answered: own } of said) {
    for (const message of own.filter(({ id, error }) => error && (id === null || id === undefined))) {
      answered.push(...asked.filter(({ id }) => id !== undefined).map(({ id }) => ({ ...message, id })));
    }
  }
  for (const record of records(asked, answered, { transport })) {
    // Where it was sent: in a request of the client, or in a stream of the server.
    const isIt = (message) => message.method === record.method && String(message.id) === record.requestId;
    const mine = said.find(({ asked }) => asked.some(isIt));
    const theirs = mine ?? said.find(({ answered }) => answered.some(isIt));
    const { exchange } = theirs;
    const session =
      header(exchange.asked, "mcp-session-id") ??
      (record.method === "initialize" ? header(exchange.answered, "mcp-session-id") : null) ??
      exchanges.map(({ url }) => new URL(url, "http://x").searchParams.get("sessionId")).find(Boolean) ??
      null;
    const isModern = record.request.params?._meta?.["io.modelcontextprotocol/protocolVersion"] >= "2026-07-28";
    // Since 2026-07-28 a client that closes the stream has given up, unless it was listening.
    const left = isModern && record.outcome === "TRANSPORT_ERROR" && !exchange.complete;
    // The end of the stream and the word that it is cancelled race.
    const isListening = record.method === "subscriptions/listen" && record.outcome !== "PROTOCOL_ERROR";
    const outcome = isListening ? undefined : left ? "CANCELLED" : record.outcome;
    found.push({ ...record, outcome, sessionId: session, httpStatus: mine ? exchange.status : null });
  }
  for (const { exchange, asked } of said) {
    const isStream = exchange.method === "GET" && header(exchange.answered, "content-type")?.startsWith("text/event-stream");
    const isRefused = asked.length === 0 && exchange.status >= 400;
    if (!isStream && !isRefused) continue;
    found.push({
      transport, method: exchange.method, target: null, requestId: null, clientName: undefined,
      outcome: isStream ? "OK" : "TRANSPORT_ERROR", rpcErrorCode: null, request: undefined, response: undefined,
      sessionId: header(exchange.asked, "mcp-session-id"), httpStatus: exchange.status,
    });
  }
  return found;
}

/** What a call of the log says of HTTP, besides. */
export function loggedHttp(call) {
  return { ...logged(call), sessionId: call.sessionId, httpStatus: call.httpStatus };
}

/** What came out behind is what went in before, and the other way round. */
export function assertPassed(before, behind) {
  const left = [...behind];
  for (const exchange of before) {
    const at = left.findIndex((other) => other.method === exchange.method && other.url === exchange.url && sent(other) === sent(exchange));
    const name = `${exchange.method} ${exchange.url} ${sent(exchange).slice(0, 200)}`;
    if (at < 0) throw new Error(`did not arrive: ${name}`);
    const [other] = left.splice(at, 1);
    for (const [key, value] of exchange.asked) {
      if (!other.asked.some(([otherKey, otherValue]) => otherKey === key && otherValue === value)) {
        throw new Error(`${name}: the header ${key}: ${value} became ${header(other.asked, key)}`);
      }
    }
    // The client left before there was an answer.
    if (exchange.status === null) continue;
    if (exchange.status !== other.status) throw new Error(`${name}: status ${other.status} became ${exchange.status}`);
    const [headers, otherHeaders] = [exchange.answered, other.answered].map((pairs) => JSON.stringify([...pairs].sort()));
    if (headers !== otherHeaders) throw new Error(`${name}: the headers ${otherHeaders} became ${headers}`);
    const [body, otherBody] = [exchange, other].map(({ got }) => Buffer.concat(got));
    // Of a stream that the client left, the server may have written more than anybody read.
    const same = exchange.complete || other.complete ? body.equals(otherBody) : otherBody.subarray(0, body.length).equals(body);
    if (!same) throw new Error(`${name}: the body\n${otherBody}\nbecame\n${body}`);
  }
  if (left.length > 0) throw new Error(`nobody sent: ${left.map(({ method, url }) => `${method} ${url}`)}`);
}
