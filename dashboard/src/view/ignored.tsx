import { ignoredAt } from "../state/parameters";
import { usePlace } from "../state/place";
import { visible } from "../state/words";

/** Says what of the address is not read, on every page, so that nobody takes the page for an answer to it. */
export function IgnoredParts() {
  const { path, parameters } = usePlace();
  const parts = ignoredAt(path, parameters);
  return (
    <aside aria-label="Ignored in the address" className="ignored" hidden={parts.length === 0}>
      <div role="status">
        {parts.length > 0 && (
          <p className="sight cut break">
            Ignored in the address: {parts.map(({ words, why }) => `${visible(words)} (${why})`).join("; ")}
          </p>
        )}
      </div>
    </aside>
  );
}
