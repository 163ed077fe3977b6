import { useArrivals } from "../state/arrivals";
import { currentKey } from "../state/key";
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
  const { live, arrived, loading, rows, problem } = useArrivals();
  return (
    <SetUp
      state={live}
      arrived={arrived}
      first={loading === undefined && rows.length === 0 && problem === undefined}
    />
  );
}
