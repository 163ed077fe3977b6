import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import { ask, endpoint, socketEndpoint } from "./endpoint";
import { examples } from "./examples";

// The socket takes the headers of the header editor as its connection parameters.
const fetcher = createGraphiQLFetcher({
  url: endpoint.href,
  subscriptionUrl: socketEndpoint.href,
  enableIncrementalDelivery: false,
});

/** A call for the example that shows one. The page must come up without it too. */
async function anyCallId(): Promise<string | undefined> {
  const query = "query AnyCall { calls(first: 1) { nodes { id } } }";
  const answer = ask<{ calls: { nodes: { id: string }[] } }>(query).then((data) => data.calls.nodes[0]?.id);
  const timeout = new Promise<undefined>((resolve) => setTimeout(resolve, 1000, undefined));
  return Promise.race([answer.catch(() => undefined), timeout]);
}

const root = document.getElementById("graphiql");
if (root) {
  const tabs = examples(await anyCallId());
  createRoot(root).render(
    <GraphiQL fetcher={fetcher} defaultTabs={tabs} shouldPersistHeaders={false}>
      <GraphiQL.Logo>
        <a href="./" className="graphiql-logo-link">
          mcptap
        </a>
      </GraphiQL.Logo>
    </GraphiQL>,
  );
}
