import { useEffect, useRef } from "react";
import { noFilter } from "../state/filter";
import { timeKey } from "../state/row";
import { useCallList } from "../state/use-list";
import { SetUp } from "../view/set-up";
import { useTitle } from "../view/title";

/** How to point a server at mcptap. */
export default function SetUpPage() {
  useTitle("Set-up");
  const { state } = useCallList(noFilter, 1, true, 0);
  const opened = useRef(timeKey(new Date().toISOString()));
  const newest = state.rows[0];
  const known = useRef<string | undefined>(undefined);
  useEffect(() => {
    if (state.loading === undefined && known.current === undefined) known.current = newest?.call.id ?? "";
  }, [state.loading, newest]);
  const isNew = newest && (newest.key > opened.current || (known.current === "" && state.added > 0));
  return (
    <div className="page narrow-page">
      <div className="page-head">
        <h1>Set-up</h1>
      </div>
      <SetUp
        state={state.live}
        arrived={isNew ? newest.call : undefined}
        first={state.loading === undefined && state.rows.length === 0 && state.problem === undefined}
      />
    </div>
  );
}
