import { useNow } from "../state/now";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { ago, dayTime } from "../state/words";

/** Numbers that are younger are as good as new, in milliseconds. */
const fresh = 60_000;

/** Of when numbers are that nobody asks for again. `at`: milliseconds since 1970. */
export function AsOf({ at }: { at: number }) {
  const { zone } = useStore(settings);
  const now = useNow();
  if (now - at < fresh) return null;
  const time = new Date(at).toISOString();
  return (
    <span className="hint">
      as of <time dateTime={time}>{dayTime(at, zone, now)}</time> ({ago(time, now)})
    </span>
  );
}
