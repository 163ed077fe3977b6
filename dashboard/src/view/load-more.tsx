import { useEffect, useState } from "react";
import { Button } from "react-aria-components";
import { explain } from "../state/api";
import { focusItem } from "../state/focus";
import type { Paged } from "../state/paging";
import { notice } from "./notice";

/**
 * The button below a list that has more pages. `what` are the ones that come next, `label` is the name of the list, to whose
 * first new item the focus goes.
 */
export function LoadMore({ list, what, label }: { list: Paged<unknown>; what: string; label: string }) {
  const { items, more, loadingMore } = list;
  /** How many there were when more were asked for. */
  const [before, setBefore] = useState<number>();
  const now = items?.length ?? 0;
  useEffect(() => {
    if (before === undefined || now <= before) return;
    setBefore(undefined);
    focusItem(label, before);
  }, [before, now, label]);
  if (!more) return null;
  const load = async () => {
    if (loadingMore) return;
    setBefore(now);
    const problem = await more();
    if (problem === undefined) return;
    setBefore(undefined);
    notice(`Could not load ${what}: ${explain(problem) || "mcptap does not answer"}`);
  };
  return (
    // not disabled meanwhile: it would lose the focus
    <Button className="load-more" onPress={load}>
      {loadingMore ? "Loading…" : "Load more"}
    </Button>
  );
}
