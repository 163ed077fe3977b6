import { expect, test } from "vitest";
import type { Call } from "../../src/state/row";
import { timeline } from "../../src/state/timeline";

const call = (id: string, startMs: number, durationMs: number) =>
  ({ id, startedAt: new Date(Date.UTC(2026, 0, 1) + startMs).toISOString(), durationMs }) as Call;

test("calls lie on one axis, and long pauses are cut out of it", () => {
  const bars = timeline([call("a", 0, 100), call("b", 600_000, 100)]);
  expect(bars.map((bar) => bar.pause)).toEqual([undefined, 599_900]);
  expect(bars[1]?.since).toBe(600_000);
  // both are far wider than the pause between them
  expect(bars[0]?.width).toBeGreaterThan(0.4);
  expect((bars[1]?.left ?? 0) + (bars[1]?.width ?? 0)).toBeCloseTo(1);
});

test("what ran beside others is counted", () => {
  const bars = timeline([call("c", 50, 10), call("a", 0, 100), call("b", 10, 100), call("d", 200, 1)]);
  expect(bars.map((bar) => [bar.call.id, bar.beside])).toEqual([
    ["a", 0],
    ["b", 1],
    ["c", 2],
    ["d", 0],
  ]);
});

test("no calls, and calls that took no time, are no trouble", () => {
  expect(timeline([])).toEqual([]);
  for (const bar of timeline([call("a", 0, 0), call("b", 0, 0)])) {
    expect(Number.isFinite(bar.left) && Number.isFinite(bar.width)).toBe(true);
  }
});

test("what runs lasts until now", () => {
  const start = Date.UTC(2026, 0, 1);
  const running = { ...call("b", 1000, 0), durationMs: null, outcome: "RUNNING" } as Call;
  const [ended, open] = timeline([call("a", 0, 100), running], start + 60_000);
  expect(open?.width).toBeGreaterThan(0.9);
  expect((open?.left ?? 0) + (open?.width ?? 0)).toBeCloseTo(1);
  expect(ended?.width).toBeLessThan(0.01);
});
