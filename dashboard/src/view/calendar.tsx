import {
  type CalendarDate,
  getLocalTimeZone,
  parseAbsolute,
  Time,
  toCalendarDate,
  toCalendarDateTime,
  today,
  toTime,
  toZoned,
  type ZonedDateTime,
} from "@internationalized/date";
import { useState } from "react";
import {
  Button,
  CalendarCell,
  CalendarGrid,
  CalendarGridBody,
  CalendarGridHeader,
  CalendarHeaderCell,
  DateInput,
  DateSegment,
  Heading,
  I18nProvider,
  Label,
  RangeCalendar,
  TimeField,
} from "react-aria-components";
import type { Filter } from "../state/filter";
import { settings } from "../state/settings";
import { useStore } from "../state/store";
import { Icon } from "./icon";

type Moments = Pick<Filter, "from" | "to">;

/** The first and the last day, and the time on each, in the time zone that the list shows. */
export default function Calendar({
  filter,
  onChange,
}: {
  filter: Filter;
  onChange: (part: Moments) => void;
}) {
  const { zone: preferred } = useStore(settings);
  const zone = preferred === "local" ? getLocalTimeZone() : preferred;
  const given = (time: string | undefined): ZonedDateTime | undefined =>
    time ? parseAbsolute(time, zone) : undefined;
  const [from, to] = [given(filter.from), given(filter.to)];
  const now = today(zone);
  const [days, setDays] = useState<{ start: CalendarDate; end: CalendarDate }>({
    start: from ? toCalendarDate(from) : now,
    end: to ? toCalendarDate(to) : now,
  });
  const [start, setStart] = useState(from ? toTime(from) : new Time(0, 0));
  // the last minute of the day, as a person would say it
  const [end, setEnd] = useState(to ? toTime(to) : new Time(23, 59));

  const [wrong, setWrong] = useState(false);
  const apply = () => {
    const first = toZoned(toCalendarDateTime(days.start, start), zone);
    const last = toZoned(toCalendarDateTime(days.end, end), zone);
    // `to` is exclusive, and 23:59 means the whole of that minute
    const until = end.second === 0 && end.minute === 59 && end.hour === 23 ? last.add({ minutes: 1 }) : last;
    setWrong(first.compare(until) >= 0);
    if (first.compare(until) < 0) onChange({ from: first.toAbsoluteString(), to: until.toAbsoluteString() });
  };
  return (
    // Monday first and a 24-hour clock, whatever the browser's language: the page is in English
    <I18nProvider locale="en-GB">
      <div className="calendar">
        <RangeCalendar aria-label="Days" value={days} onChange={setDays} maxValue={now.add({ days: 1 })}>
          <header>
            <Button slot="previous" className="plain icon-only">
              <Icon name="left" />
            </Button>
            <Heading />
            <Button slot="next" className="plain icon-only">
              <Icon name="right" />
            </Button>
          </header>
          <CalendarGrid>
            <CalendarGridHeader>{(day) => <CalendarHeaderCell>{day}</CalendarHeaderCell>}</CalendarGridHeader>
            <CalendarGridBody>{(date) => <CalendarCell date={date} className="day" />}</CalendarGridBody>
          </CalendarGrid>
        </RangeCalendar>
        <div className="clock">
          <TimeField
            value={start}
            onChange={(time) => time && setStart(time)}
            hourCycle={24}
            className="field"
          >
            <Label>From</Label>
            <DateInput className="segments">{(segment) => <DateSegment segment={segment} />}</DateInput>
          </TimeField>
          <TimeField value={end} onChange={(time) => time && setEnd(time)} hourCycle={24} className="field">
            <Label>To</Label>
            <DateInput className="segments">{(segment) => <DateSegment segment={segment} />}</DateInput>
          </TimeField>
          <Button className="primary" onPress={apply}>
            Apply
          </Button>
        </div>
        {wrong && (
          <p role="alert" className="field-error">
            The range must end after it starts.
          </p>
        )}
        <p className="hint">Times are in {zone}.</p>
      </div>
    </I18nProvider>
  );
}
