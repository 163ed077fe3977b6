import { useEffect, useState } from "react";
import { type Filter, toCallFilter } from "./filter";
import { keyStore } from "./key";
import { CallList } from "./list";
import { repeat } from "./repeat";
import { runningPause } from "./running";
import { useStore } from "./store";

/** The list of a filter's calls, which follows the filter, the switch Live and the key. */
export function useCallList(filter: Filter, pageSize: number, live: boolean, round: number) {
  const [list] = useState(() => new CallList());
  const { attempt } = useStore(keyStore);
  const state = useStore(list.state);

  // round and attempt ask anew
  useEffect(() => {
    void list.start(toCallFilter(filter, new Date()), pageSize, filter);
    return () => list.stop();
  }, [list, filter, pageSize, round, attempt]);
  useEffect(() => list.setLive(live), [list, live]);
  useEffect(() => repeat(runningPause, () => list.refreshRunning()), [list]);
  // for one moment the state still answers the question before
  return { list, state: state.question === filter ? state : { ...state, loading: "first" as const } };
}
