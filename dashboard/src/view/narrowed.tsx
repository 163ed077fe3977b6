import { useViewer } from "../state/viewer";
import { visible } from "../state/words";

/** The servers that the key of this tab is bound to; none, where it sees all of them. */
export function useBound(): readonly string[] {
  return useViewer()?.servers ?? [];
}

/** Says of numbers that they leave out what the key may not see. */
export function Narrowed() {
  const servers = useBound();
  if (servers.length === 0) return null;
  return <span className="hint">Your key only sees {servers.map(visible).join(", ")}.</span>;
}

/** Why something is not there, which may be for the key. */
export function useReasons(...reasons: readonly string[]): string {
  const all = useBound().length > 0 ? [...reasons, "this key may not see it"] : reasons;
  return new Intl.ListFormat("en", { type: "disjunction" }).format(all);
}
