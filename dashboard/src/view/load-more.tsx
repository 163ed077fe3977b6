import { Button } from "react-aria-components";
import type { Paged } from "../state/paging";
import { notice } from "./notice";

/** The button below a list that has more pages. `what` are the ones that come next. */
export function LoadMore({ list, what }: { list: Paged<unknown>; what: string }) {
  const { more, loadingMore } = list;
  if (!more) return null;
  const load = async () => {
    if (!(await more())) notice(`${what} could not be loaded`);
  };
  return (
    <Button className="load-more" isDisabled={loadingMore} onPress={load}>
      {loadingMore ? "Loading…" : "Load more"}
    </Button>
  );
}
