import { useState } from "react";
import { Button } from "react-aria-components";
import { KeysDocument, type KeysQuery } from "../gql/graphql";
import { madeKey } from "../state/api-keys";
import { useAskAgain } from "../state/asking";
import { keyStore, signOut } from "../state/key";
import { useKeys } from "../state/keys";
import { usePages } from "../state/paging";
import { useStore } from "../state/store";
import { may, useViewer } from "../state/viewer";
import { Audit } from "../view/audit";
import { Icon } from "../view/icon";
import { KeyTable } from "../view/key-table";
import { LoadMore } from "../view/load-more";
import { MadeKey } from "../view/made-key";
import { NewKey } from "../view/new-key";
import { Outdated } from "../view/outdated";
import { Problem } from "../view/problem";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

/** API keys, and what was done with the rights of an administrator. */
export default function KeysPage() {
  useTitle("Keys");
  const viewer = useViewer();
  const made = useStore(madeKey);
  return (
    <div className="page">
      {viewer && !may(viewer, "ADMIN") ? <NotForYou /> : <Keys />}
      {made && <MadeKey {...made} />}
    </div>
  );
}

/** How often the keys are asked for again, in milliseconds. */
const refresh = 15_000;

const firstPage = () => ({ first: 100 });
const keysOf = ({ apiKeys }: KeysQuery) => ({ items: apiKeys.nodes, pageInfo: apiKeys.pageInfo });

function Keys() {
  const viewer = useViewer();
  const [round, setRound] = useState(0);
  const [making, setMaking] = useState(false);
  const keys = usePages(KeysDocument, firstPage, keysOf, round);
  useAskAgain(keys, refresh);
  useKeys({ r: keys.again });
  const changed = () => setRound((before) => before + 1);
  const { items, problem } = keys;
  return (
    <>
      <div className="page-head">
        <h1>Keys</h1>
        <span className="hint">API keys for reading, sending and administering.</span>
        <span className="space" />
        {viewer && (
          <Button className="primary" onPress={() => setMaking(true)}>
            <Icon name="plus" />
            Create a key
          </Button>
        )}
      </div>
      {problem !== undefined && !items && <Problem problem={problem} again={keys.again} />}
      <Outdated of={keys} />
      {!items && problem === undefined && <Skeleton lines={6} />}
      {items?.length === 0 && (
        <div className="none">
          <h2>No keys yet</h2>
          <p>
            While no key exists, anyone who can reach this server can read and send. Once a key exists, every
            reader and every sender needs one.
          </p>
        </div>
      )}
      {items && items.length > 0 && (
        <KeyTable
          keys={items}
          complete={!keys.more}
          own={viewer?.key?.id}
          onRevoked={(id) => {
            // nothing more is answered to this tab, so it asks for another key at once
            if (id === viewer?.key?.id) signOut();
            else changed();
          }}
        />
      )}
      {items && items.length > 0 && <p className="hint">Last used is recorded once a minute.</p>}
      <LoadMore list={keys} what="more keys" label="Keys" />
      {items && <Audit round={round} />}
      {viewer && (
        <NewKey
          open={making}
          first={!viewer.keysExist}
          seesServers={may(viewer, "READ")}
          onClose={() => setMaking(false)}
          onMade={changed}
        />
      )}
    </>
  );
}

function NotForYou() {
  const { key } = useStore(keyStore);
  return (
    <div className="none">
      <h1>Keys</h1>
      {key ? (
        <>
          <p>Your key does not have the scope Admin, which this page needs.</p>
          <Button className="primary" onPress={signOut}>
            Use another key
          </Button>
        </>
      ) : (
        <p>
          While no key exists, this page only works on the machine that mcptap runs on. Create the first key
          there with <code>mcptap keys create</code>.
        </p>
      )}
    </div>
  );
}
