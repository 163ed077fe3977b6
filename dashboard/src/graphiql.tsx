import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";
import { examples } from "./examples";
import { CallPageDocument } from "./gql/graphql";
import { ask } from "./state/api";
import { endpoint, socketEndpoint } from "./state/endpoint";
import { currentKey } from "./state/key";

// The socket takes the headers of the header editor as its connection parameters.
const key = currentKey();
const keyHeader: Record<string, string> = key ? { authorization: `Bearer ${key}` } : {};
const fetcher = createGraphiQLFetcher({
  url: endpoint.href,
  subscriptionUrl: socketEndpoint.href,
  enableIncrementalDelivery: false,
  headers: keyHeader,
  wsConnectionParams: keyHeader,
});

/** A call for the example that shows one. The page must come up without it too. */
async function anyCallId(): Promise<string | undefined> {
  const answer = ask(CallPageDocument, { first: 1 }).then(({ calls }) => calls.edges[0]?.node.id);
  const timeout = new Promise<undefined>((resolve) => setTimeout(resolve, 1000, undefined));
  return Promise.race([answer.catch(() => undefined), timeout]);
}

const place = document.getElementById("graphiql");
if (place) {
  const tabs = examples(await anyCallId());
  createRoot(place).render(
    <GraphiQL fetcher={fetcher} defaultTabs={tabs} shouldPersistHeaders={false}>
      <GraphiQL.Logo>
        <a href="./" className="graphiql-logo-link">
          mcptap
        </a>
      </GraphiQL.Logo>
    </GraphiQL>,
  );
}
