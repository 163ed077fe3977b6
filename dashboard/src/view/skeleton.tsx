/** Grey lines where words will be. A screen reader hears that the region is busy instead. */
export function Skeleton({ lines = 3 }: { lines?: number }) {
  return (
    <div className="skeleton" aria-hidden="true">
      {Array.from({ length: lines }, (_, line) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: lines have nothing but their number
        <span key={line} />
      ))}
    </div>
  );
}
