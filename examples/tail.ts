/**
 * The newest calls, then each new one as it is stored, through restarts of the server and lost connections. No dependencies:
 * it runs in Node.js, Deno, Bun and (without the last lines) in a browser.
 *
 *     node examples/tail.ts [http://127.0.0.1:6278/graphql]      # Node.js 22.18 and later run TypeScript
 *
 * The stream is GraphQL over Server-Sent Events. Where WebSockets suit better, the packages graphql-ws, Apollo Client and urql
 * speak the same protocol as mcptap, graphql-transport-ws, at the same address.
 */

interface Call {
  startedAt: string;
  outcome: string;
  method: string;
  target: string | null;
}
interface FeedEvent {
  cursor: string;
  edges?: { node: Call }[];
}
interface Answer<T> {
  data?: T | null;
  errors?: { message: string; extensions: { code: string } }[];
}

const fields = "startedAt outcome method target";
const page = `query ($first: Int!) { calls(first: $first) { nodes { ${fields} } liveCursor } }`;
const feed = `subscription ($after: String!) { calls(after: $after) {
  ... on CallsAdded { cursor edges { node { ${fields} } } }
  ... on CallsUpdated { cursor edges { node { ${fields} } } }
  ... on CaughtUp { cursor }
} }`;

/** What is sent can only be wrong: trying again does not help. */
class Refused extends Error {}

/** Needed where API keys exist: one with scope read, from `mcptap keys create`. */
const key = process.env.API_KEY;

async function ask(url: string, accept: string, query: string, variables: object): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", accept, ...(key ? { authorization: `Bearer ${key}` } : {}) },
    body: JSON.stringify({ query, variables }),
  });
}

function dataOf<T>({ data, errors }: Answer<T>): T {
  // the server's database does not answer now: like a connection that is lost
  if (errors?.some(({ extensions }) => extensions.code === "UNAVAILABLE")) throw new Error(errors[0]?.message);
  if (errors?.length) throw new Refused(errors.map(({ message }) => message).join("; "));
  return data as T;
}

/** The data of each event of a stream. */
async function* events(response: Response): AsyncGenerator<string> {
  const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    text += next.value;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const lines = text.slice(0, end).split("\n");
      text = text.slice(end + 2);
      const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.some((line) => line !== "")) yield data.join("\n");
    }
  }
}

/** Every call after the newest `first`, and before it those. Never ends by itself. */
export async function tail(url: string, first: number, show: (call: Call) => void): Promise<never> {
  const response = await ask(url, "application/graphql-response+json", page, { first });
  if (!response.headers.get("content-type")?.includes("json")) {
    throw new Refused(`HTTP ${response.status}, and no GraphQL; give the URL of the API, http://127.0.0.1:6278/graphql`);
  }
  const answer: Answer<{ calls: { nodes: Call[]; liveCursor: string } }> = await response.json();
  const { nodes, liveCursor } = dataOf(answer).calls;
  // a page has the newest first
  for (const call of nodes.reverse()) show(call);
  // all that there is to remember: with it, nothing is missed and nothing comes twice
  let cursor = liveCursor;
  for (;;) {
    try {
      for await (const data of events(await ask(url, "text/event-stream", feed, { after: cursor }))) {
        const event = dataOf(JSON.parse(data) as Answer<{ calls: FeedEvent }>).calls;
        for (const { node } of event.edges ?? []) show(node);
        cursor = event.cursor;
      }
    } catch (error) {
      if (error instanceof Refused) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

const address = process.argv[2] ?? "http://127.0.0.1:6278/graphql";
try {
  await tail(address, 10, (call) => {
    console.log(call.startedAt, call.outcome, call.method, call.target ?? "");
  });
} catch (error) {
  const { message, cause } = error as Error;
  console.error(`tail.ts: ${address}: ${message}${cause instanceof Error ? `: ${cause.message}` : ""}`);
  process.exitCode = 1;
}
