import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { type FormEvent, useState } from "react";
import { createRoot } from "react-dom/client";
import { examples } from "./examples";
import { CallPageDocument } from "./gql/graphql";
import { ask } from "./state/api";
import { endpoint, socketEndpoint } from "./state/endpoint";
import { currentKey, keyStore, readKey, signIn } from "./state/key";
import { useStore } from "./state/store";

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

/** Asks for a key where the API does. The dashboard has it too then, in the same tab. */
function SignInBar() {
  const { refused, why } = useStore(keyStore);
  const [typed, setTyped] = useState("");
  if (!refused) return null;
  const enter = (event: FormEvent) => {
    event.preventDefault();
    const given = readKey(typed);
    if (!given) return;
    signIn(given);
    // what GraphiQL sends is settled when it starts
    location.reload();
  };
  return (
    <form className="sign-in-bar" onSubmit={enter} aria-label="Sign in">
      <label>
        API key{" "}
        <input
          type="password"
          autoComplete="off"
          spellCheck={false}
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
        />
      </label>
      <button type="submit">Sign in</button>
      <span role="status">
        {key && why
          ? `The API did not accept the key of this tab: ${why}.`
          : "This mcptap requires an API key. It is kept for this tab only."}
      </span>
    </form>
  );
}

const place = document.getElementById("graphiql");
if (place) {
  const tabs = examples(await anyCallId());
  createRoot(place).render(
    <>
      <SignInBar />
      <GraphiQL fetcher={fetcher} defaultTabs={tabs} shouldPersistHeaders={false}>
        <GraphiQL.Logo>
          <a href="./" className="graphiql-logo-link">
            mcptap
          </a>
        </GraphiQL.Logo>
      </GraphiQL>
    </>,
  );
}
