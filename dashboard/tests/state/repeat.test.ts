import { getEventListeners } from "node:events";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pause, repeat, seen } from "../../src/state/repeat";

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

test("a pause ends with its time, the network or the signal, and leaves nothing behind", async () => {
  const network = new EventTarget();
  vi.stubGlobal("addEventListener", network.addEventListener.bind(network));
  const { signal } = new AbortController();
  const ends: string[] = [];
  const begin = (name: string, until = signal) => pause(1_000, until).then(() => ends.push(name));
  for (let times = 0; times < 3; times++) void begin("time");
  await vi.advanceTimersByTimeAsync(1_250);
  expect(ends).toEqual(["time", "time", "time"]);
  void begin("network");
  network.dispatchEvent(new Event("online"));
  await vi.advanceTimersByTimeAsync(0);
  const asking = new AbortController();
  void begin("signal", asking.signal);
  asking.abort();
  await vi.advanceTimersByTimeAsync(0);
  await begin("late", asking.signal);
  expect(ends.slice(3)).toEqual(["network", "signal", "late"]);
  expect(getEventListeners(network, "online")).toEqual([]);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});

test("whoever looks ends the waiting for it, at once where they look already", async () => {
  const { signal } = new AbortController();
  await seen(signal);
  page.visibilityState = "hidden";
  let isSeen = false;
  void seen(signal).then(() => {
    isSeen = true;
  });
  await vi.advanceTimersByTimeAsync(1_000);
  expect(isSeen).toBe(false);
  page.visibilityState = "visible";
  page.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(0);
  expect(isSeen).toBe(true);
  expect(getEventListeners(page, "visibilitychange")).toEqual([]);
  expect(getEventListeners(signal, "abort")).toEqual([]);
});
