import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { asCurl, asJsonRpc } from "../../src/state/snippet";

const call = {
  requestId: "7",
  method: "tools/call",
  sessionId: "s-1",
  protocolVersion: "2025-11-25",
  target: "forecast",
  attributes: { "http.request.header.host": ["127.0.0.1:8000"], "url.path": "/mcp" },
};
const request = '{"method":"tools/call","params":{"name":"it\'s","arguments":{"n":12345678901234567890}}}';

test("a request becomes a JSON-RPC message, digits and all", () => {
  const text = asJsonRpc(call, request);
  expect(JSON.parse(text)).toMatchObject({ jsonrpc: "2.0", id: 7, method: "tools/call" });
  expect(text).toContain("12345678901234567890");
  expect(JSON.parse(asJsonRpc({ ...call, requestId: "abc" }, request)).id).toBe("abc");
  expect(JSON.parse(asJsonRpc(call, undefined))).toEqual({ jsonrpc: "2.0", id: 7, method: "tools/call" });
  expect(JSON.parse(asJsonRpc(call, "{}"))).toEqual({ jsonrpc: "2.0", id: 7, method: "tools/call" });
  const whole = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
  expect(asJsonRpc(call, whole)).toBe(whole);
});

test("the shell hands curl exactly what was sent, whatever quotes are in it", () => {
  const command = asCurl(call, request).replace("curl -sS", "printf '%s\\n'");
  const given = execFileSync("sh", ["-c", command], { encoding: "utf8" }).split("\n");
  expect(given[0]).toBe("http://127.0.0.1:8000/mcp");
  expect(given).toContain("mcp-session-id: s-1");
  expect(given).toContain(asJsonRpc(call, request));
});

test("an address that nobody said is left to the person, and never taken from odd text", () => {
  expect(asCurl({ ...call, attributes: {} }, request)).toContain('"$MCP_URL"');
  const odd = { "http.request.header.host": ["x; rm -rf /"] };
  expect(asCurl({ ...call, attributes: odd }, request)).toContain('"$MCP_URL"');
});
