// Two records of the same calls, by two who watched: what one says, the other says too.

import assert from "node:assert/strict";

import { eventually } from "./mcptap.mjs";

/** Every call, once there are that many and none runs any more. */
export async function ended(mcptap, count) {
  await mcptap.settled(count);
  return eventually("the end of the calls", async () => {
    const calls = await mcptap.calls();
    return calls.every(({ outcome }) => outcome !== "RUNNING") ? calls : undefined;
  });
}

/** What is compared of a call. Of times, ids of spans and sizes of JSON written in another way nothing is. */
function seen(call) {
  const { method, target, requestId, outcome, httpStatus, rpcErrorCode, clientName, clientVersion, protocolVersion, transport, userAgent, authorization } = call;
  return {
    method, target, requestId, outcome, httpStatus, rpcErrorCode, clientName, clientVersion, protocolVersion, transport, userAgent, authorization,
    sessionId: call.sessionId, server: call.server?.name ?? null,
    request: call.request?.json ?? call.request?.text ?? null,
    response: call.response?.json ?? call.response?.text ?? null,
    redacted: [call.request?.redacted ?? false, call.response?.redacted ?? false],
  };
}

const key = (call) => [call.method, call.requestId, call.target].map(String).join(" ");

/** Fails where one record says something else than the other. */
export function assertLike(calls, others) {
  const sorted = (list) => list.map(seen).sort((one, other) => key(one).localeCompare(key(other)));
  assert.deepEqual(sorted(calls), sorted(others));
}
