import { useSyncExternalStore } from "react";
import { clock } from "./clock";

const followers = new Set<() => void>();
let now = clock();
let timer: ReturnType<typeof setInterval> | undefined;

function follow(changed: () => void): () => void {
  followers.add(changed);
  // while nobody followed, it stood still
  if (timer === undefined) now = clock();
  timer ??= setInterval(() => {
    now = clock();
    for (const tell of followers) tell();
  }, 1000);
  return () => {
    followers.delete(changed);
    if (followers.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The time by mcptap's clock, to the second. One clock for everything that says "3 min ago". Not `on`: it stands still. */
export function useNow(on = true): number {
  return useSyncExternalStore(on ? follow : nobody, () => now);
}

function nobody(): () => void {
  return () => {};
}
