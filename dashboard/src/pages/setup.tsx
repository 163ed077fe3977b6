import { useEffect, useRef } from "react";
import { noFilter } from "../state/filter";
import { currentKey } from "../state/key";
import { timeKey } from "../state/row";
import { useCallList } from "../state/use-list";
import { may, useViewer } from "../state/viewer";
import { SetUp } from "../view/set-up";
import { Skeleton } from "../view/skeleton";
import { useTitle } from "../view/title";

/** How to point a server at mcptap. */
export default function SetUpPage() {
  useTitle("Setup");
  const viewer = useViewer();
  return (
    <div className="page narrow-page">
      <div className="page-head">
        <h1>Setup</h1>
      </div>
      {/* a key that reads no calls is refused when it asks for them */}
      {!viewer && currentKey() ? (
        <Skeleton lines={8} />
      ) : !viewer || may(viewer, "READ") ? (
        <Watched />
      ) : (
        <SetUp state={undefined} arrived={undefined} />
      )}
    </div>
  );
}

/** The same, which turns green when a call arrives. */
function Watched() {
  const { state } = useCallList(noFilter, 1, true, 0);
  const opened = useRef(timeKey(new Date().toISOString()));
  const newest = state.rows[0];
  const known = useRef<string | undefined>(undefined);
  useEffect(() => {
    if (state.loading === undefined && known.current === undefined) known.current = newest?.call.id ?? "";
  }, [state.loading, newest]);
  const isNew = newest && (newest.key > opened.current || (known.current === "" && state.added > 0));
  return (
    <SetUp
      state={state.live}
      arrived={isNew ? newest.call : undefined}
      first={state.loading === undefined && state.rows.length === 0 && state.problem === undefined}
    />
  );
}
