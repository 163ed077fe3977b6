import { useNow } from "../state/now";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { absolute, ago } from "../state/words";

/** A moment: how long ago it was, with the full time on hover; or the time itself, as the reader prefers. */
export function Moment({ time, full = false }: { time: string; full?: boolean }) {
  const { zone, relative } = useStore(settings);
  const exact = absolute(time, zone);
  return (
    <time dateTime={time} title={`${exact} (${time})`}>
      {full ? exact : relative ? <Ago time={time} /> : absolute(time, zone, "short")}
    </time>
  );
}

function Ago({ time }: { time: string }) {
  return ago(time, useNow());
}
