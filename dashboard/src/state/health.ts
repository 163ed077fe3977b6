/** The share of errors from which a tool counts as failing. */
export const failing = 0.1;

interface Counted {
  callCount: number;
  errorCount: number;
  p50Ms?: number | null | undefined;
}

/** How well a tool does, in a word: a colour alone would not say it. */
export function health({ callCount, errorCount, p50Ms }: Counted): { words: string; tone: string } {
  const rate = callCount === 0 ? 0 : errorCount / callCount;
  if (rate > 0)
    return rate < failing ? { words: "Some errors", tone: "warn" } : { words: "Failing", tone: "bad" };
  // calls that have not ended have no duration, and nobody knows how they do
  return p50Ms == null ? { words: "No data", tone: "plain" } : { words: "Healthy", tone: "good" };
}
