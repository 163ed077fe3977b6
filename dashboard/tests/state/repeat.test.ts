import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { repeat } from "../../src/state/repeat";

const page = Object.assign(new EventTarget(), { visibilityState: "visible" });

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("document", page);
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  page.visibilityState = "visible";
});

test("nothing is repeated in the background, while the last time goes on, or after the end", async () => {
  const ends: (() => void)[] = [];
  const stop = repeat(1_000, () => new Promise<void>((resolve) => ends.push(resolve)));
  page.visibilityState = "hidden";
  await vi.advanceTimersByTimeAsync(3_000);
  expect(ends.length).toBe(0);
  page.visibilityState = "visible";
  await vi.advanceTimersByTimeAsync(3_000);
  expect(ends.length).toBe(1);
  ends[0]?.();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(ends.length).toBe(2);
  ends[1]?.();
  stop();
  await vi.advanceTimersByTimeAsync(3_000);
  expect(ends.length).toBe(2);
});

test("whoever comes back after longer than the pause does not look at old numbers", async () => {
  let turns = 0;
  const stop = repeat(10_000, () => turns++);
  const look = async (state: string) => {
    page.visibilityState = state;
    page.dispatchEvent(new Event("visibilitychange"));
    await vi.advanceTimersByTimeAsync(0);
  };
  await look("hidden");
  await vi.advanceTimersByTimeAsync(15_000);
  await look("visible");
  expect(turns).toBe(1);
  await look("hidden");
  await look("visible");
  expect(turns).toBe(1);
  stop();
  await vi.advanceTimersByTimeAsync(15_000);
  await look("visible");
  expect(turns).toBe(1);
});
