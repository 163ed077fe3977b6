/** How long to wait before asking again for what mcptap, or its database, could not answer, in milliseconds. */
export const healPause = 5_000;

/**
 * Does something every so many milliseconds while somebody looks, at once for one who comes back later than that, and never
 * while the last time still goes on. Gives back how it is stopped.
 */
export function repeat(every: number, run: () => unknown): () => void {
  let busy = false;
  let last = Date.now();
  const turn = async () => {
    if (busy || document.visibilityState !== "visible") return;
    busy = true;
    last = Date.now();
    try {
      await run();
    } finally {
      busy = false;
    }
  };
  const looked = () => {
    if (Date.now() - last >= every) void turn();
  };
  const timer = setInterval(turn, every);
  document.addEventListener("visibilitychange", looked);
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", looked);
  };
}
