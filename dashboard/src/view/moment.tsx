import { useNow } from "../state/now";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { absolute, ago, until } from "../state/words";

/**
 * A moment: how long ago it was, with the full time on hover; or the time itself, as the reader prefers. `ahead`: it
 * is one that is to come, as that of a call never is.
 */
export function Moment({
  time,
  full = false,
  ahead = false,
}: {
  time: string;
  full?: boolean;
  ahead?: boolean;
}) {
  const { zone, relative } = useStore(settings);
  const exact = absolute(time, zone);
  return (
    <time dateTime={time} title={`${exact} (${time})`}>
      {full ? (
        exact
      ) : relative ? (
        <Relative time={time} words={ahead ? until : ago} />
      ) : (
        absolute(time, zone, "short")
      )}
    </time>
  );
}

function Relative({ time, words }: { time: string; words: (time: string, now: number) => string }) {
  return words(time, useNow());
}
