import { useCallback, useMemo } from "react";
import { Link, useLocation } from "wouter";
import { CallDetailDocument, CallNeighboursDocument } from "../gql/graphql";
import { useAsk } from "../state/asking";
import { noFilter, pick } from "../state/filter";
import { useKeys } from "../state/keys";
import { listAddress } from "../state/place";
import { CallDetail } from "../view/call-detail";
import type { OnPick } from "../view/call-row";
import { Icon } from "../view/icon";
import { useTitle } from "../view/title";

const addressOf = (id: string) => `/calls/${encodeURIComponent(id)}`;

/** One call at an address of its own. */
export default function CallPage({ id }: { id: string }) {
  const [, navigate] = useLocation();
  const { newer, older } = useNeighbours(id);
  const onPick: OnPick = useCallback(
    (name, value, as) => navigate(listAddress(pick(noFilter, name, value, as))),
    [navigate],
  );
  useTitle("Call");
  useKeys({
    j: () => older && navigate(addressOf(older)),
    k: () => newer && navigate(addressOf(newer)),
    Escape: () => navigate("/"),
  });
  return (
    <div className="page">
      <div className="page-head">
        <h1>Call</h1>
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
        <Link href="/" className="button small">
          All calls
        </Link>
      </div>
      <CallDetail id={id} onPick={onPick} />
    </div>
  );
}

/** The calls just before and just after one, among all. */
function useNeighbours(id: string): { newer?: string | undefined; older?: string | undefined } {
  const detail = useAsk(
    CallDetailDocument,
    useMemo(() => ({ id }), [id]),
  );
  const at = detail.data?.call?.id === id ? detail.data.call.startedAt : undefined;
  const { data } = useAsk(
    CallNeighboursDocument,
    useMemo(() => (at ? { newer: { from: at }, older: { to: at } } : undefined), [at]),
  );
  if (!at) return {};
  return {
    newer: data?.newer.nodes.find((call) => call.id !== id && call.startedAt !== at)?.id,
    older: data?.older.nodes[0]?.id,
  };
}
