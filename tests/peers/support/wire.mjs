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

/** Every record is there once, and nothing else is. */
export function assertSame(calls, expected) {
  const left = calls.map((call) => JSON.stringify(call));
  const missing = [];
  for (const record of expected.map((record) => JSON.stringify(record))) {
    const at = left.indexOf(record);
    if (at < 0) missing.push(record);
    else left.splice(at, 1);
  }
  const cut = (record) => (record.length > 1500 ? `${record.slice(0, 1500)}…` : record);
  if (missing.length + left.length > 0) {
    throw new Error(`not in the log:\n${missing.map(cut).join("\n")}\nand in the log instead:\n${left.map(cut).join("\n")}`);
  }
}
