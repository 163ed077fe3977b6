// What messages of JSON-RPC say, by the OpenTelemetry conventions for MCP: pure functions from messages to attributes.

import type { Attributes } from "@opentelemetry/api";

import { semconv } from "./tables.js";

/** The longest name of a client or a server that is kept, in bytes; and its version. */
const LONGEST_NAME = 1024;
/** Versions from this on have no sessions and no handshake. */
export const STATELESS = "2026-07-28";
// The JSON-RPC errors that are the caller's fault: on a server's span they are no errors, as the conventions say.
const CALLER_FAULTS = new Set([-32700, -32600, -32601, -32602, -32002]);
// How much is taken away before a cut at most: longer than any token.
const RAGGED = 8 * 1024;
// How many groups of digits a card's number has before its last one at most.
const GROUPS = 4;

export type Json = Record<string, unknown>;

export const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
export const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);

/** What stands at a path in JSON. */
export function member(value: unknown, ...path: string[]): unknown {
  for (const name of path) value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return value;
}

/** At most so many bytes of a text, and not half of what may be a secret. */
export function cut(value: string, most = LONGEST_NAME): string {
  const data = Buffer.from(value);
  if (data.length <= most) return data.toString();
  let end = most;
  while (end > 0 && ((data[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  const kept = data.subarray(0, end).toString();
  let at = kept.length;
  while (at > 0 && kept.length - at < RAGGED && /[A-Za-z0-9_\-+/=.:~%]/.test(kept[at - 1] ?? "")) at -= 1;
  if (!/[^0-9]/.test(kept.slice(at))) {
    for (let group = 0; group < GROUPS; group += 1) {
      const found = /(?<![0-9])[0-9]{4,6} $/.exec(kept.slice(Math.max(0, at - 8), at));
      if (!found) break;
      at -= found[0].length;
    }
  }
  return kept.slice(0, at);
}

/** What a request is about. */
export interface Target {
  kind?: "tool" | "prompt" | "resource";
  name?: string;
}

export function targetOf(method: string, params: unknown): Target {
  const [kind, key] = method === "tools/call" ? (["tool", "name"] as const) : method === "prompts/get" ? (["prompt", "name"] as const) : (["resource", "uri"] as const);
  const name = text(member(params, key));
  return name ? { kind, name } : {};
}

export const toolOf = ({ kind, name }: Target): string | undefined => (kind === "tool" ? name : undefined);

/** `{method} {tool or prompt}`, else the method alone. A URI never: there would be as many names as resources. */
export const spanName = (method: string, { kind, name }: Target): string => (kind === "tool" || kind === "prompt" ? `${method} ${name}` : method);

export function targetAttributes(method: string, { kind, name }: Target): Attributes {
  const attributes: Attributes = { [semconv.MCP_METHOD_NAME]: method };
  if (kind === "tool") Object.assign(attributes, { [semconv.GEN_AI_TOOL_NAME]: name, [semconv.GEN_AI_OPERATION_NAME]: semconv.EXECUTE_TOOL });
  else if (kind === "prompt") attributes[semconv.GEN_AI_PROMPT_NAME] = name;
  else if (kind === "resource") attributes[semconv.MCP_RESOURCE_URI] = name;
  return attributes;
}

export const requestBody = (message: Json): Json => (message["params"] !== undefined && message["params"] !== null ? { method: message["method"], params: message["params"] } : { method: message["method"] });
export const answerBody = (message: Json): unknown => (failureOf(message) === undefined ? message["result"] : { error: failureOf(message) });
/** The error of an answer, if it has one. Some libraries write absent members as null. */
export const failureOf = (message: Json): unknown => message["error"] ?? undefined;

/** How a request ended. */
export interface Ending {
  attributes: Attributes;
  /** What the span's status says, where that is an error. */
  error?: string;
}

export const broken = (reason: string): Ending => ({ attributes: { [semconv.ERROR_TYPE]: semconv.CLOSED }, error: reason });
export const cancelled = (reason?: string): Ending => ({ attributes: { [semconv.OUTCOME]: semconv.CANCELLED }, ...(reason === undefined ? {} : { error: reason }) });
export const refused = (status: number): Ending => ({ attributes: { [semconv.ERROR_TYPE]: String(status) }, error: `HTTP ${status}` });
export const redirected = (): Ending => ({ attributes: { [semconv.OUTCOME]: semconv.REDIRECTED } });
/** It was answered, and which answer is its own cannot be told. */
export const unknown = (): Ending => ({ attributes: { [semconv.OUTCOME]: semconv.UNKNOWN } });
export const over = (): Ending => ({ attributes: {} });

/** Whether nothing says that it ended otherwise than it was meant to. */
export const isSuccess = ({ attributes, error }: Ending): boolean =>
  error === undefined && ![semconv.ERROR_TYPE, semconv.OUTCOME, semconv.RPC_STATUS_CODE].some((name) => name in attributes);

/** Reads how a request ended from its answer. */
export function endingOf(method: string, answer: Json): Ending {
  const failure = failureOf(answer);
  if (failure !== undefined) return errorOf(failure);
  const result = answer["result"];
  if (method === "tasks/get" || method === "tasks/result") return taskOf(result);
  const ending = over();
  const kind = text(member(result, "resultType")) ?? (member(result, "task") === undefined ? undefined : semconv.TASK);
  if (kind !== undefined && kind !== "complete") ending.attributes[semconv.RESULT_TYPE] = kind;
  const version = text(member(result, "protocolVersion"));
  if (method === "initialize" && version !== undefined) ending.attributes[semconv.MCP_PROTOCOL_VERSION] = cut(version);
  if (method === "tools/call" && member(result, "isError") === true) {
    ending.attributes[semconv.ERROR_TYPE] = semconv.TOOL_ERROR;
    ending.error = "";
  }
  return ending;
}

function errorOf(error: unknown): Ending {
  const said = text(member(error, "message")) ?? "";
  const code = Number(member(error, "code") ?? Number.NaN);
  if (!Number.isInteger(code)) return { attributes: { [semconv.ERROR_TYPE]: "_OTHER" }, error: said };
  const attributes: Attributes = { [semconv.RPC_RESPONSE_STATUS_CODE]: String(code), [semconv.RPC_STATUS_CODE]: String(code) };
  if (CALLER_FAULTS.has(code)) return { attributes };
  return { attributes: { ...attributes, [semconv.ERROR_TYPE]: String(code) }, error: said };
}

/** The end of a task is the outcome of the request that brought it. */
function taskOf(result: unknown): Ending {
  if (member(result, "error", "code") !== undefined) return errorOf(member(result, "error"));
  if (member(result, "isError") === true || member(result, "result", "isError") === true) {
    return { attributes: { [semconv.ERROR_TYPE]: semconv.TOOL_ERROR }, error: "" };
  }
  const said = text(member(result, "statusMessage"));
  switch (member(result, "status")) {
    case "cancelled": return cancelled(said);
    case "failed": return { attributes: { [semconv.ERROR_TYPE]: "task_failed" }, error: said ?? "" };
    case semconv.INPUT_REQUIRED: return { attributes: { [semconv.RESULT_TYPE]: semconv.INPUT_REQUIRED } };
    default: return over();
  }
}

/** A client's or server's name and version. */
export function implementation(info: unknown): { name: string; version?: string } | undefined {
  const [name, version] = [text(member(info, "name")), text(member(info, "version"))];
  if (name === undefined) return undefined;
  return { name: cut(name), ...(version === undefined ? {} : { version: cut(version) }) };
}
