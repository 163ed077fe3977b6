import {
  type CalendarDate,
  getLocalTimeZone,
  Time,
  toCalendarDateTime,
  today,
  toZoned,
} from "@internationalized/date";
import { useState } from "react";
import {
  Button,
  Calendar,
  CalendarCell,
  CalendarGrid,
  DateInput,
  DatePicker,
  DateSegment,
  Dialog,
  Group,
  Heading,
  I18nProvider,
  Label,
  Popover,
} from "react-aria-components";
import type { Ending } from "../state/api-keys";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { Icon } from "./icon";

const presets: readonly [string, number][] = [
  ["In 7 days", 7],
  ["In 30 days", 30],
  ["In 90 days", 90],
  ["In a year", 365],
];

interface Props {
  ends: Ending;
  onChange: (ends: Ending) => void;
  problem: string | undefined;
}

/** When a key ends by itself: never, in some days, or after a day that is chosen. */
export function KeyEnding({ ends, onChange, problem }: Props) {
  const { zone: preferred } = useStore(settings);
  const zone = preferred === "local" ? getLocalTimeZone() : preferred;
  const [day, setDay] = useState<CalendarDate>(() => today(zone).add({ days: 30 }));
  const chooseDay = (chosen: CalendarDate) => {
    setDay(chosen);
    // the whole of that day, as a person means it
    const end = toZoned(toCalendarDateTime(chosen.add({ days: 1 }), new Time(0)), zone);
    onChange({ at: end.toAbsoluteString() });
  };
  const choose = (value: string) => {
    if (value === "day") chooseDay(day);
    else onChange(value === "never" ? undefined : { days: Number(value) });
  };
  return (
    <div className="field">
      <label htmlFor="key-ends">Expires</label>
      <select
        id="key-ends"
        value={ends === undefined ? "never" : "at" in ends ? "day" : String(ends.days)}
        onChange={(event) => choose(event.target.value)}
        aria-invalid={problem !== undefined}
        aria-describedby={problem === undefined ? undefined : "key-ends-problem"}
      >
        <option value="never">Never</option>
        {presets.map(([words, days]) => (
          <option key={days} value={days}>
            {words}
          </option>
        ))}
        <option value="day">At the end of a day…</option>
      </select>
      {ends && "at" in ends && (
        // Monday first, whatever the browser's language: the page is in English
        <I18nProvider locale="en-GB">
          <DatePicker
            className="field"
            value={day}
            onChange={(chosen) => chosen && chooseDay(chosen)}
            shouldForceLeadingZeros
          >
            <Label>Last day ({zone})</Label>
            <Group className="with-button">
              <DateInput className="segments">{(segment) => <DateSegment segment={segment} />}</DateInput>
              <Button className="plain icon-only">
                <Icon name="down" />
              </Button>
            </Group>
            <Popover className="popover">
              <Dialog className="menu">
                <Calendar className="calendar">
                  <header>
                    <Button slot="previous" className="plain icon-only">
                      <Icon name="left" />
                    </Button>
                    <Heading />
                    <Button slot="next" className="plain icon-only">
                      <Icon name="right" />
                    </Button>
                  </header>
                  <CalendarGrid>{(date) => <CalendarCell date={date} className="day" />}</CalendarGrid>
                </Calendar>
              </Dialog>
            </Popover>
          </DatePicker>
        </I18nProvider>
      )}
      {problem && (
        <p id="key-ends-problem" role="alert" className="field-error">
          {problem}
        </p>
      )}
    </div>
  );
}
