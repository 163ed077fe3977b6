/**
 * Does something every so many milliseconds while somebody looks, and never while the last time still goes on. Gives back how
 * it is stopped.
 */
export function repeat(every: number, run: () => unknown): () => void {
  let busy = false;
  const timer = setInterval(async () => {
    if (busy || document.visibilityState !== "visible") return;
    busy = true;
    try {
      await run();
    } finally {
      busy = false;
    }
  }, every);
  return () => clearInterval(timer);
}
