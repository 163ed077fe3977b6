import { useNow } from "../state/now";
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
  const age = Math.max(0, useNow() - Date.parse(since));
  return <span title="It has not ended yet">{duration(Math.floor(age / 1000) * 1000)}…</span>;
}
