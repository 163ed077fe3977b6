import { useCallback, useState } from "react";
import { Link, useLocation } from "wouter";
import { isEmpty, pick, writeFilter } from "../state/filter";
import { useKeys } from "../state/keys";
import { useNeighbours } from "../state/neighbours";
import { callAddress, listParameters, useFilter, usePlace } from "../state/place";
import { useSteps } from "../state/steps";
import { callWords } from "../state/words";
import { CallDetail } from "../view/call-detail";
import type { Detail } from "../view/call-fields";
import type { OnPick } from "../view/call-row";
import { Icon } from "../view/icon";
import { useTitle } from "../view/title";

/** One call at an address of its own, which keeps the list that it was opened from. */
export default function CallPage({ id }: { id: string }) {
  const [, navigate] = useLocation();
  const { parameters } = usePlace();
  const { filter } = useFilter();
  const [found, setFound] = useState<Detail>();
  const call = found?.id === id ? found : undefined;
  const { newer, older, isKnown } = useNeighbours(call && id, filter);
  const list = listParameters(parameters);
  const listAt = list.size > 0 ? `/?${list}` : "/";
  const addressOf = (other: string) => callAddress(other, list);
  const onPick: OnPick = useCallback(
    (name, value, as) =>
      navigate(`/?${writeFilter(pick(filter, name, value, as), listParameters(parameters))}`),
    [navigate, filter, parameters],
  );
  useTitle(call ? callWords(call) : "Call");
  const step = useSteps(
    id,
    isKnown,
    (by) => (by === 1 ? older : newer),
    (to) => navigate(addressOf(to)),
  );
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    Escape: () => navigate(listAt),
  });
  return (
    <div className="page">
      <div className="page-head">
        <h1 title={call && callWords(call)}>{call ? callWords(call) : "Call"}</h1>
        <span className="space" />
        {newer && (
          <Link href={addressOf(newer)} className="button small">
            <Icon name="up" />
            Newer <kbd>k</kbd>
          </Link>
        )}
        {older && (
          <Link href={addressOf(older)} className="button small">
            <Icon name="down" />
            Older <kbd>j</kbd>
          </Link>
        )}
        <Link href={listAt} className="button small">
          {isEmpty(filter) ? "All calls" : "Back to the list"}
        </Link>
      </div>
      <CallDetail key={id} id={id} onPick={onPick} onCall={setFound} />
    </div>
  );
}
