/**
 * Grey lines where words will be. A screen reader hears that the region is busy instead. `failed`: they are not on their way,
 * and elsewhere it says why.
 */
export function Skeleton({ lines = 3, failed = false }: { lines?: number; failed?: boolean }) {
  if (failed) return <p className="hint">Not loaded.</p>;
  return (
    <div className="skeleton" aria-hidden="true">
      {Array.from({ length: lines }, (_, line) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have nothing but their number
        <span key={line} />
      ))}
    </div>
  );
}
