import { useEffect, useState } from "react";
import { keyStore } from "./key";
import { CallList } from "./list";
import type { ListState } from "./list-state";
import { api } from "./source";
import { useStore } from "./store";

/** What the feed adds, of all calls, and how the feed is. One row is kept, however many come. */
export function useArrivals(): ListState {
  const [list] = useState(() => new CallList(api, 1));
  const { attempt } = useStore(keyStore);
  useEffect(() => {
    list.setLive(true);
    // the attempt is the question: what another key has found is none of it
    void list.start({}, 1, attempt);
    return () => list.stop();
  }, [list, attempt]);
  return useStore(list.state);
}
