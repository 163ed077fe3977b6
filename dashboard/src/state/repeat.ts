/** How long to wait before asking again for what mcptap, or its database, could not answer, in milliseconds. */
export const healPause = 5_000;

/** Waits, and no longer when the network comes back or `signal` aborts. In milliseconds. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = new AbortController();
    const end = () => {
      clearTimeout(timer);
      over.abort();
      resolve();
    };
    // all tabs of a restarted server at the same moment would be a crowd
    const timer = setTimeout(end, ms * (0.75 + Math.random() / 2));
    globalThis.addEventListener("online", end, { signal: over.signal });
    signal.addEventListener("abort", end, { signal: over.signal });
    if (signal.aborted) end();
  });
}

/** Waits until somebody looks at the page, or `signal` aborts. */
export function seen(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = new AbortController();
    const look = () => {
      if (!signal.aborted && document.visibilityState !== "visible") return;
      over.abort();
      resolve();
    };
    document.addEventListener("visibilitychange", look, { signal: over.signal });
    signal.addEventListener("abort", look, { signal: over.signal });
    look();
  });
}

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
