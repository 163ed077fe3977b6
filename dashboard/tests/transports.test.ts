import { createClient as createEventsClient } from "graphql-sse";
import { createClient as createSocketClient } from "graphql-ws";
import { afterAll, beforeAll, expect, test } from "vitest";
import WebSocket from "ws";
import { Mcptap } from "./mcptap";

let mcptap: Mcptap;
beforeAll(async () => {
  // instead of 10 seconds
  process.env.MCPTAP_GRAPHQL_INIT_TIMEOUT = "5s";
  mcptap = await Mcptap.start();
});
afterAll(() => {
  delete process.env.MCPTAP_GRAPHQL_INIT_TIMEOUT;
  return mcptap.stop();
});

interface FeedEvent {
  __typename: "CallsAdded" | "CallsUpdated" | "CaughtUp";
  cursor: string;
  edges?: { node: { tool: string } }[];
}
type Feed = { calls: FeedEvent };

const feed = `subscription ($after: String) {
  calls(after: $after) {
    __typename
    ... on CallsAdded { cursor edges { node { tool } } }
    ... on CaughtUp { cursor }
  }
}`;

/** The cursor before everything. */
async function beginning(): Promise<string> {
  const query = "{ calls(last: 1) { liveCursor } }";
  const answer = await fetch(`${mcptap.url}/graphql?query=${encodeURIComponent(query)}`);
  return (await answer.json()).data.calls.liveCursor;
}

/** Until the wanted tools have come; each may come once. */
async function tools(events: AsyncIterable<{ data?: Feed | null }>, wanted: string[]): Promise<string> {
  const seen: string[] = [];
  for await (const { data } of events) {
    const event = data?.calls;
    for (const { node } of event?.edges ?? []) seen.push(node.tool);
    if (seen.length >= wanted.length) {
      expect(seen).toEqual(wanted);
      return event?.cursor ?? "";
    }
  }
  throw new Error(`the feed ended after ${seen}`);
}

function socketClient(extra: { retryAttempts?: number; on?: object } = {}) {
  const url = `${mcptap.url.replace("http", "ws")}/graphql`;
  return createSocketClient({ url, webSocketImpl: WebSocket, retryAttempts: 0, ...extra });
}

test("graphql-ws: queries, subscriptions, pings and errors", async () => {
  const after = await beginning();
  let pongs = 0;
  const client = createSocketClient({
    url: `${mcptap.url.replace("http", "ws")}/graphql`,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    lazy: false,
    keepAlive: 20,
    connectionParams: { anything: true },
    on: { pong: () => pongs++ },
  });
  const once = client.iterate<{ __typename: string }>({ query: "{ __typename }" });
  const { value } = await once.next();
  expect(value.data).toEqual({ __typename: "Query" });
  expect(await once.next()).toMatchObject({ done: true });

  await mcptap.report({ tool: "one" });
  const events = client.iterate<Feed>({ query: feed, variables: { after } });
  const cursor = await tools(events, ["one"]);
  await mcptap.report({ tool: "two" });
  await tools(client.iterate<Feed>({ query: feed, variables: { after: cursor } }), ["two"]);

  for (const query of ["{ nothing }", "{ calls( }", 'subscription { calls(after: "x") { __typename } }']) {
    const refused = client.iterate({ query }).next();
    await expect(refused).rejects.toMatchObject([{ extensions: { code: expect.any(String) } }]);
  }
  await expect.poll(() => pongs).toBeGreaterThan(0);
  await client.dispose();
});

test("graphql-ws: the server goes away and comes back, and nothing is missed", async () => {
  const before = await beginning();
  const first = socketClient();
  const seen = first.iterate<Feed>({ query: feed, variables: { after: before } });
  let cursor = "";
  for await (const { data } of seen) {
    cursor = data?.calls.cursor ?? "";
    if (data?.calls.__typename === "CaughtUp") break;
  }
  const lost = first.iterate<Feed>({ query: feed, variables: { after: cursor } });
  expect((await lost.next()).value.data.calls.__typename).toBe("CaughtUp");
  const ended = expect(lost.next()).rejects.toMatchObject({ code: 1001 });
  await mcptap.terminate();
  await ended;
  await mcptap.launch();
  await mcptap.report({ tool: "three" });
  const second = socketClient();
  await tools(second.iterate<Feed>({ query: feed, variables: { after: cursor } }), ["three"]);
  await Promise.all([first.dispose(), second.dispose()]);
});

test("a WebSocket that breaks the protocol is closed with the protocol's code", async () => {
  const open = () => new WebSocket(`${mcptap.url.replace("http", "ws")}/graphql`, "graphql-transport-ws");
  const code = (messages: unknown[]) =>
    new Promise<number>((resolve, reject) => {
      const socket = open();
      socket.on("open", () => messages.forEach((message) => void socket.send(JSON.stringify(message))));
      socket.on("close", resolve);
      socket.on("error", reject);
    });
  const init = { type: "connection_init" };
  const subscribe = {
    type: "subscribe",
    id: "1",
    payload: { query: "subscription { calls { __typename } }" },
  };
  expect(await code([{ type: "unknown" }])).toBe(4400);
  expect(await code([subscribe])).toBe(4401);
  expect(await code([init, subscribe, subscribe])).toBe(4409);
  expect(await code([init, init])).toBe(4429);
  expect(await code([])).toBe(4408);
  const foreign = new WebSocket(`${mcptap.url.replace("http", "ws")}/graphql`, "graphql-transport-ws", {
    origin: "http://evil.example",
  });
  const refused = await new Promise<Error>((resolve) => foreign.on("error", resolve));
  expect(refused.message).toContain("403");
});

test("graphql-sse: queries, subscriptions, errors, and a server that comes back", async () => {
  const after = await beginning();
  let last = "";
  const client = createEventsClient({
    url: `${mcptap.url}/graphql`,
    retryAttempts: 100,
    retry: () => new Promise((resolve) => setTimeout(resolve, 50)),
    headers: (): Record<string, string> => (last ? { "last-event-id": last } : {}),
    // the client itself does not look at ids: take them from the stream
    fetchFn: async (input: RequestInfo, init: RequestInit) => {
      const answer = await fetch(input, init);
      const [kept, read] = answer.body?.tee() ?? [];
      void (async () => {
        const decoder = new TextDecoder();
        let text = "";
        for await (const chunk of read as unknown as AsyncIterable<Uint8Array>) {
          text += decoder.decode(chunk, { stream: true });
          last = [...text.matchAll(/^id: (.+)\n/gm)].at(-1)?.[1] ?? last;
        }
      })().catch(() => {});
      return new Response(kept, answer);
    },
  });
  const once = client.iterate<{ __typename: string }>({ query: "{ __typename }" });
  expect((await once.next()).value.data).toEqual({ __typename: "Query" });
  expect(await once.next()).toMatchObject({ done: true });
  const refused = client.iterate({ query: "{ nothing }" });
  expect((await refused.next()).value).toMatchObject({
    errors: [{ extensions: { code: "GRAPHQL_VALIDATION_FAILED" } }],
  });
  expect(await refused.next()).toMatchObject({ done: true });

  last = "";
  const seen: string[] = [];
  const until = async (events: AsyncIterableIterator<{ data?: Feed | null }>, tool: string) => {
    while (!seen.includes(tool)) {
      const { value, done } = await events.next();
      if (done) throw new Error(`the feed ended after ${seen}`);
      for (const { node } of value.data?.calls.edges ?? []) seen.push(node.tool);
    }
  };
  const events = client.iterate<Feed>({ query: feed, variables: { after } });
  await mcptap.report({ tool: "four" });
  await until(events, "four");
  await mcptap.terminate();
  await mcptap.launch();
  await mcptap.report({ tool: "five" });
  await until(events, "five");
  expect(new Set(seen).size).toBe(seen.length);
  client.dispose();
});
