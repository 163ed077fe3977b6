import { useCallback, useState } from "react";
import type { TypedDocumentString } from "../gql/graphql";
import { ask } from "./api";
import { type Asked, useAsk } from "./asking";

interface Connection<Item> {
  items: readonly Item[];
  pageInfo: { hasNextPage: boolean; endCursor: string | null };
}

export interface Paged<Item> extends Omit<Asked<unknown>, "data"> {
  /** What is loaded of the list, in its order. Undefined until the first page is there. */
  items: readonly Item[] | undefined;
  /** Loads the next page and says whether that worked. Undefined where there is none. */
  more: (() => Promise<boolean>) | undefined;
  /** Whether the next page is being loaded. */
  loadingMore: boolean;
}

/** A list whose pages are asked for one after the other. `connection` finds it in the answer. */
export function usePages<Result, Variables, Item>(
  document: TypedDocumentString<Result, Variables>,
  variables: Variables,
  connection: (result: Result) => Connection<Item>,
  round = 0,
): Paged<Item> {
  const { data, ...asked } = useAsk(document, variables, round);
  const [later, setLater] = useState<{ of: Result; pages: readonly Connection<Item>[] }>();
  const [loadingMore, setLoadingMore] = useState(false);
  const pages = data && [connection(data), ...(later?.of === data ? later.pages : [])];
  const last = pages?.at(-1)?.pageInfo;
  const after = last?.hasNextPage ? last.endCursor : null;

  const more = useCallback(async () => {
    if (!data) return false;
    setLoadingMore(true);
    try {
      const next = connection(await ask(document, { ...variables, after }));
      // pages of an answer that was asked anew meanwhile are of no list any more
      setLater((before) => ({ of: data, pages: [...(before?.of === data ? before.pages : []), next] }));
      return true;
    } catch {
      return false;
    } finally {
      setLoadingMore(false);
    }
  }, [document, variables, after, data, connection]);
  return {
    ...asked,
    items: pages?.flatMap(({ items }) => items),
    more: after === null ? undefined : more,
    loadingMore,
  };
}
