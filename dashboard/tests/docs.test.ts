import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createClient } from "graphql-sse";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Mcptap } from "./mcptap";

/** The queries of docs/api.md, each with the answer that is shown below it. */
const docs = readFileSync(join(import.meta.dirname, "../../docs/api.md"), "utf8");
const samples = [...docs.matchAll(/```graphql\n(.+?)```\n\n```json\n(.+?)```/gs)].map(
  ([, query, answer]) => ({
    query: query ?? "",
    answer: JSON.parse(answer ?? ""),
  }),
);

let mcptap: Mcptap;
beforeAll(async () => {
  mcptap = await Mcptap.start();
  await mcptap.report({ tool: "get_forecast" });
  await reportInFull();
});
afterAll(() => mcptap.stop());

/** A failed call as a server reports it that keeps nothing to itself. */
async function reportInFull(): Promise<void> {
  const post = async (signal: string, body: unknown) => {
    // biome-ignore lint/complexity/useLiteralKeys: the ports are nobody else's business
    const answer = await fetch(`http://127.0.0.1:${mcptap["ports"].http}/v1/${signal}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect(answer.status).toBe(200);
  };
  const attributes = (values: Record<string, string>) =>
    Object.entries(values).map(([key, stringValue]) => ({ key, value: { stringValue } }));
  const resource = { attributes: attributes({ "service.name": "weather" }) };
  const end = BigInt(Date.now()) * 1_000_000n;
  const ids = { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: "00f067aa0ba902b7" };
  const span = {
    ...ids,
    name: "tools/call get_alerts",
    kind: 2,
    startTimeUnixNano: String(end - 87_500_000n),
    endTimeUnixNano: String(end),
    attributes: attributes({
      "mcp.method.name": "tools/call",
      "gen_ai.tool.name": "get_alerts",
      "mcp.session.id": "0d9c1f6a-2f4b-4a3c-9f0e-6f1f3a1f7c55",
      "error.type": "tool_error",
      "mcptap.request.body":
        '{"method":"tools/call","params":{"name":"get_alerts","arguments":{"region":"XX"}}}',
      "mcptap.response.body": '{"content":[{"type":"text","text":"no such region: XX"}],"isError":true}',
    }),
    status: { code: 2, message: "no such region: XX" },
  };
  await post("traces", {
    resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "test" }, spans: [span] }] }],
  });
  const line = { ...ids, timeUnixNano: String(end - 1_000_000n), severityText: "WARN" };
  const logRecords = [{ ...line, body: { stringValue: "region XX is not in the table" } }];
  await post("logs", { resourceLogs: [{ resource, scopeLogs: [{ scope: { name: "test" }, logRecords }] }] });
}

async function ask(query: string, variables = {}) {
  const answer = await fetch(`${mcptap.url}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  return await answer.json();
}

/** The names in a value, in order, with the values left out. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape);
  if (value === null || typeof value !== "object") return typeof value;
  return Object.entries(value).map(([name, inner]) => [name, shape(inner)]);
}

test("every query of docs/api.md is answered as shown", async () => {
  expect(samples.length).toBeGreaterThan(3);
  const { data } = await ask(
    '{ calls(filter: { tools: ["get_alerts"] }) { nodes { id } } oldest: calls(last: 1) { liveCursor } }',
  );
  const variables = { id: data.calls.nodes[0].id, after: data.oldest.liveCursor };
  for (const { query, answer } of samples) {
    if (query.startsWith("subscription")) {
      const client = createClient({ url: `${mcptap.url}/graphql` });
      const { value } = await client.iterate({ query, variables }).next();
      client.dispose();
      expect(shape(value), query).toEqual(shape(answer));
    } else {
      expect(shape(await ask(query, variables)), query).toEqual(shape(answer));
    }
  }
});
