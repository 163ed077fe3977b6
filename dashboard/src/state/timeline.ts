import type { Call } from "./row";

/** A call of a session, and where its bar lies. Shares are of the whole width, from 0 to 1. */
export interface Bar {
  call: Call;
  left: number;
  width: number;
  /** How many calls that began before it were still running. */
  beside: number;
  /** How long nothing had been running before it, where that is worth telling. In milliseconds. */
  pause: number | undefined;
  /** From the first call on. In milliseconds. */
  since: number;
}

/** A pause is drawn no longer than this share of all the time in which something ran. */
const longestPause = 0.08;

/** Milliseconds with fractions: a Date would lose what is below a millisecond. */
function moment(time: string): number {
  const fraction = time.match(/\.(\d+)/)?.[1] ?? "0";
  return Date.parse(`${time.slice(0, 19)}Z`) + Number(`0.${fraction}`) * 1000;
}

/**
 * Calls in the order in which they happened, on one axis from which long pauses are cut. Those that run last until `now`,
 * in milliseconds since 1970.
 */
export function timeline(calls: readonly Call[], now = 0): Bar[] {
  const spans = calls
    .map((call) => {
      const from = moment(call.startedAt);
      const lasted = call.durationMs ?? (call.outcome === "RUNNING" ? Math.max(0, now - from) : 0);
      return { call, from, to: from + lasted };
    })
    .sort((a, b) => a.from - b.from);
  const first = spans[0];
  if (!first) return [];

  let busyUntil = first.from;
  let busy = 0;
  for (const { from, to } of spans) {
    busy += Math.max(0, to - Math.max(from, busyUntil));
    busyUntil = Math.max(busyUntil, to);
  }
  const cap = Math.max(busy * longestPause, 0.001);

  const bars: Bar[] = [];
  let until = first.from;
  let cut = 0;
  const running: number[] = [];
  for (const { call, from, to } of spans) {
    const pause = from - until;
    if (pause > cap) cut += pause - cap;
    until = Math.max(until, to);
    const still = running.filter((end) => end > from);
    running.length = 0;
    running.push(...still, to);
    bars.push({
      call,
      left: from - first.from - cut,
      width: to - from,
      beside: still.length,
      pause: bars.length > 0 && pause >= 1000 && pause > cap ? pause : undefined,
      since: from - first.from,
    });
  }
  const whole = Math.max(...bars.map((bar) => bar.left + bar.width), 0.001);
  return bars.map((bar) => ({ ...bar, left: bar.left / whole, width: bar.width / whole }));
}
