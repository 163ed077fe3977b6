import { ignoredWords } from "../state/address";
import { usePlace } from "../state/place";

/** Says what of the address is not read, on every page, so that nobody takes the page for an answer to it. */
export function IgnoredParts() {
  const { ignored } = usePlace();
  return (
    <aside aria-label="Ignored in the address" className="ignored" hidden={ignored.length === 0}>
      <div role="status">
        {ignored.length > 0 && (
          <p className="sight cut break">Ignored in the address: {ignoredWords(ignored)}</p>
        )}
      </div>
    </aside>
  );
}
