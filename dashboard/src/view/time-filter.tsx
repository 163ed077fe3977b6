import { lazy, Suspense } from "react";
import { Button, Dialog, DialogTrigger, Popover } from "react-aria-components";
import { defined, type Filter, ranges } from "../state/filter";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { absolute, shortly } from "../state/words";
import { Boundary } from "./boundary";
import { Icon } from "./icon";
import { Skeleton } from "./skeleton";

// the calendar is as large as the rest of the list's page, and opened rarely
const Calendar = lazy(() => import("./calendar"));

/** The chosen time in words. Undefined where any time will do. */
export function timeWords(filter: Filter, zone: string): string | undefined {
  const range = ranges.find(([name]) => name === filter.range);
  if (range) return range[1];
  const { from, to } = filter;
  if (from && to) return shortly([from, to], zone).join(" – ");
  if (from) return `since ${absolute(from, zone, "short")}`;
  return to ? `until ${absolute(to, zone, "short")}` : undefined;
}

/** Presets such as the last hour, and a calendar with the first and the last day. */
export function TimeFilter({ filter, onChange }: { filter: Filter; onChange: (filter: Filter) => void }) {
  const { zone } = useStore(settings);
  const words = timeWords(filter, zone);
  const change = (part: Pick<Filter, "range" | "from" | "to">, close: () => void) => {
    onChange(defined({ ...filter, range: part.range, from: part.from, to: part.to }));
    close();
  };
  return (
    <DialogTrigger>
      <Button className={words ? "filter on" : "filter"}>
        Time
        <Icon name="down" />
      </Button>
      <Popover className="popover" placement="bottom start">
        <Dialog aria-label="Time" className="menu time-menu">
          {({ close }) => (
            <>
              <div className="ranges">
                <Button className={words ? "plain" : "plain chosen"} onPress={() => change({}, close)}>
                  Any time
                </Button>
                {ranges.map(([name, label]) => (
                  <Button
                    key={name}
                    className={filter.range === name ? "plain chosen" : "plain"}
                    onPress={() => change({ range: name }, close)}
                  >
                    {label}
                  </Button>
                ))}
              </div>
              <Boundary at="calendar">
                <Suspense fallback={<Skeleton lines={8} />}>
                  <Calendar filter={filter} onChange={(part) => change(part, close)} />
                </Suspense>
              </Boundary>
            </>
          )}
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}
