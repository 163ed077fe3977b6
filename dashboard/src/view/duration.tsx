import { awayStore } from "../state/api";
import { useNow } from "../state/now";
import { useStore } from "../state/store";
import { duration, lostWords } from "../state/words";

interface Lasting {
  startedAt: string;
  durationMs: number | null;
  outcome: string;
}

/** How long a call took; of one that runs, for how long it has; of one that was lost nobody knows. */
export function Duration({ call }: { call: Lasting }) {
  if (call.durationMs !== null) return duration(call.durationMs);
  if (call.outcome === "RUNNING") return <Age since={call.startedAt} />;
  return call.outcome === "LOST" ? <span title={lostWords}>–</span> : "–";
}

function Age({ since }: { since: string }) {
  const away = useStore(awayStore);
  const age = Math.max(0, useNow(!away) - Date.parse(since));
  // nobody asks whether it still runs, so nothing counts on
  if (away) return <span title="mcptap does not answer, so whether it still runs is not known">–</span>;
  return <span title="Still running">{duration(Math.floor(age / 1000) * 1000)}…</span>;
}
