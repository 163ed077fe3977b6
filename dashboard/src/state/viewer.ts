import { useEffect } from "react";
import { type Scope, ViewerDocument, type ViewerQuery } from "../gql/graphql";
import { ask } from "./api";
import { keyStore } from "./key";
import { healPause, pause, seen } from "./repeat";
import { createStore, useStore } from "./store";

export type Viewer = ViewerQuery["viewer"];

/** Whoever asks, and what they may do. Undefined until the API has said so. */
export const viewerStore = createStore<Viewer | undefined>(undefined);

export function useViewer(): Viewer | undefined {
  return useStore(viewerStore);
}

async function findViewer(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const { viewer } = await ask(ViewerDocument, {}, signal);
      viewerStore.set(viewer);
      return;
    } catch {
      // until then nothing is offered that takes a right, and the page itself says what is wrong
      await pause(healPause, signal);
      await seen(signal);
    }
  }
}

/** Asks who one is, again with every key. For the one place that is always on the screen. */
export function useViewerQuestion(): void {
  const { attempt, refused } = useStore(keyStore);
  // the attempt is a new question
  useEffect(() => {
    viewerStore.set(undefined);
    if (refused) return;
    const asking = new AbortController();
    void findViewer(asking.signal);
    return () => asking.abort();
  }, [attempt, refused]);
}

/** Whether something is allowed. Not, as long as it is not known. */
export function may(viewer: Viewer | undefined, scope: Scope): boolean {
  return viewer?.scopes.includes(scope) ?? false;
}

/** Whether the API keeps what was said to itself. It does not, as long as nothing else is known. */
export function withoutPayloads(viewer: Viewer | undefined): boolean {
  return viewer !== undefined && !viewer.scopes.includes("PAYLOADS");
}
