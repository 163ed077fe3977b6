import { createClient } from "graphql-ws";
import { type Call, callFields } from "./call";
import { dataOf, socketEndpoint } from "./endpoint";

interface FeedEvent {
  __typename: "CallsAdded" | "CallsUpdated" | "CaughtUp";
  cursor: string;
  edges?: { node: Call }[];
}

const subscription = `subscription Feed($after: String) {
  calls(after: $after) {
    __typename
    ... on CallsAdded { cursor edges { node { ...CallFields } } }
    ... on CallsUpdated { cursor edges { node { ...CallFields } } }
    ... on CaughtUp { cursor }
  }
}
${callFields}`;

/**
 * The calls stored after `cursor`, until the server or the network ends it by an error. `moved` is told the
 * cursor after each event, so that the next attempt goes on exactly there.
 */
export async function follow(
  cursor: string,
  on: { live: () => void; calls: (calls: Call[], added: boolean) => void; moved: (cursor: string) => void },
): Promise<void> {
  // The client's own retries would ask again from the first cursor, and deliver calls twice.
  const client = createClient({ url: socketEndpoint.href, retryAttempts: 0 });
  try {
    const answers = client.iterate<{ calls: FeedEvent }>({
      query: subscription,
      variables: { after: cursor },
    });
    for await (const answer of answers) {
      const event = dataOf(answer).calls;
      if (event.edges) {
        on.calls(
          event.edges.map((edge) => edge.node),
          event.__typename === "CallsAdded",
        );
      } else {
        on.live();
      }
      on.moved(event.cursor);
    }
  } finally {
    await client.dispose();
  }
}
